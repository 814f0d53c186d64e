#include "engine/directory/directory_lock.h"

#include <unistd.h>

#include <array>
#include <chrono>
#include <ctime>
#include <thread>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/directory/checkpoint_layout.h"

namespace tintype {
namespace {

constexpr mode_t kLockMode = 0666;
constexpr uint64_t kHolderLimitBytes = 4096;
constexpr int kTriesMax = 25;
constexpr std::chrono::milliseconds kTryInterval(10);

std::string host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return "unknown";
  return name.data();
}

std::string time_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  std::array<char, 32> text{};
  std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text.data();
}

Status write_holder(File& file) {
  const nlohmann::ordered_json json{
      {"host", host_name()}, {"pid", ::getpid()}, {"since", time_now()}};
  const std::string text =
      json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  TINTYPE_RETURN_IF_ERROR(file.truncate(0));
  return write_fully(file, as_bytes(text), 0);
}

// The file is being rewritten by its holder, perhaps right now: whatever cannot be read is left
// out.
std::string describe_holder(File& file) {
  const Result<ByteVector> content = read_whole(file, kHolderLimitBytes);
  if (!content.is_ok()) return "another process";
  const std::string_view text = as_text(*content);
  const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object() || !json.contains("pid") || !json["pid"].is_number_integer()) {
    return "another process";
  }
  std::string holder = "process " + std::to_string(json["pid"].get<int64_t>());
  if (json.contains("host") && json["host"].is_string()) {
    holder += " on " + json["host"].get<std::string>();
  }
  if (json.contains("since") && json["since"].is_string()) {
    holder += " since " + json["since"].get<std::string>();
  }
  return holder;
}

// A process that is being forked or spawned shares the lock for a moment, until it closes its copy.
Status lock_soon(File& file) {
  for (int tries = kTriesMax;; --tries) {
    const Status status = file.try_lock();
    if (status.code() != StatusCode::locked || tries == 0) return status;
    std::this_thread::sleep_for(kTryInterval);
  }
}

Result<std::unique_ptr<File>> open_lock_file(Directory& directory) {
  Result<std::unique_ptr<File>> created = directory.create(kLockName, kLockMode);
  if (created.is_ok() || created.status().code() != StatusCode::already_exists) return created;
  return directory.open(kLockName, true);
}

// Null where there is none. Network file systems want a writable descriptor for an exclusive lock;
// others lock a file that this user may only read.
Result<std::unique_ptr<File>> find_lock_file(Directory& directory) {
  Result<std::unique_ptr<File>> file = directory.open(kLockName, true);
  if (file.status().code() == StatusCode::not_found) return std::unique_ptr<File>();
  return file.is_ok() ? std::move(file) : directory.open(kLockName, false);
}

Status in_use(Directory& directory, File& file, const Status& status, std::string_view remedy) {
  return Status(StatusCode::locked,
                "'" + directory.path() + "' is in use by " + describe_holder(file),
                status.error_number())
      .with_path(directory.path())
      .with_remedy(std::string(remedy));
}

constexpr std::string_view kLockStep = "lock the checkpoint directory";

}  // namespace

Result<std::unique_ptr<DirectoryLock>> DirectoryLock::take(Directory& directory) {
  TINTYPE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, open_lock_file(directory));
  const Status status = lock_soon(*file);
  if (status.code() == StatusCode::locked) {
    return in_use(directory, *file, status, "end that run, or give this one another logdir");
  }
  TINTYPE_RETURN_IF_ERROR(status.with_context(kLockStep));
  TINTYPE_RETURN_IF_ERROR(write_holder(*file).with_context(kLockStep));
  return std::unique_ptr<DirectoryLock>(new DirectoryLock(std::move(file)));
}

Result<std::unique_ptr<DirectoryLock>> DirectoryLock::borrow(Directory& directory) {
  TINTYPE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, find_lock_file(directory));
  if (file == nullptr) return std::unique_ptr<DirectoryLock>();
  const Status status = lock_soon(*file);
  if (status.code() == StatusCode::locked) {
    return in_use(directory, *file, status, "wait until that run has ended");
  }
  TINTYPE_RETURN_IF_ERROR(status.with_context(kLockStep));
  return std::unique_ptr<DirectoryLock>(new DirectoryLock(std::move(file)));
}

Result<std::string> DirectoryLock::holder_of(Directory& directory) {
  TINTYPE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, find_lock_file(directory));
  if (file == nullptr) return std::string();
  const Status status = file->try_lock();
  if (status.code() == StatusCode::locked) return describe_holder(*file);
  TINTYPE_RETURN_IF_ERROR(status);
  return std::string();
}

DirectoryLock::DirectoryLock(std::unique_ptr<File> file) : file_(std::move(file)) {}

}  // namespace tintype
