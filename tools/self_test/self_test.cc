#include "tools/self_test/self_test.h"

#include <stdlib.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <memory>
#include <optional>
#include <random>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "engine/engine.h"
#include "engine/memory_budget.h"
#include "io/disk/file_system.h"
#include "tools/sizes.h"

namespace tintype::self_test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kStorageCount = 16;
constexpr uint64_t kSmallBytes = uint64_t{1} << 20;
constexpr uint64_t kWriteBytes = uint64_t{1} << 20;
constexpr uint64_t kCopiesOnDisk = 4;  // of either contender the file and the one it replaces

double seconds_since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Before anything is made: a full disk, and memory that the kernel takes back by killing, would hit
// other programs too.
Status check_room(const Options& options) {
  TINTYPE_ASSIGN_OR_RETURN(const auto directory,
                           posix_file_system().open_directory(options.directory));
  const auto disk_bytes = directory->available_bytes();
  const uint64_t on_disk_bytes = kCopiesOnDisk * options.size_bytes;
  if (disk_bytes.is_ok() && *disk_bytes < on_disk_bytes) {
    return Status(StatusCode::out_of_space,
                  fmt::format("'{}' has {} free, and this needs {} for a while [ENOSPC, errno {}]",
                              options.directory, format_size(*disk_bytes),
                              format_size(on_disk_bytes), ENOSPC),
                  ENOSPC)
        .with_remedy("choose a smaller size");
  }
  const uint64_t memory_bytes = available_memory_bytes();
  const uint64_t staging_bytes = staging_bytes_for(options.size_bytes, staging_budget_bytes());
  if (memory_bytes >= options.size_bytes + staging_bytes) return Status::ok();
  return Status(StatusCode::resource_exhausted,
                fmt::format("{} of memory are available, and this needs {} [ENOMEM, errno {}]",
                            format_size(memory_bytes),
                            format_size(options.size_bytes + staging_bytes), ENOMEM),
                ENOMEM)
      .with_remedy("free some");
}

// Random, so that no file system makes it smaller.
ByteVector random_bytes(uint64_t size_bytes) {
  ByteVector bytes(size_bytes);
  std::mt19937_64 random(1);
  for (size_t at = 0; at + sizeof(uint64_t) <= bytes.size(); at += sizeof(uint64_t)) {
    const uint64_t word = random();
    std::copy_n(reinterpret_cast<const std::byte*>(&word), sizeof(word),
                bytes.begin() + static_cast<ptrdiff_t>(at));
  }
  return bytes;
}

// A folder of its own, removed with all it holds.
class Folder {
 public:
  static Result<std::unique_ptr<Folder>> make(const std::string& parent) {
    std::string path = parent + "/tintype-bench-XXXXXX";
    if (::mkdtemp(path.data()) == nullptr) return errno_status(errno, "create a folder in", parent);
    return std::unique_ptr<Folder>(new Folder(std::filesystem::absolute(path)));
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  const std::string& path() const { return path_; }

  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

 private:
  explicit Folder(std::string path) : path_(std::move(path)) {}
  const std::string path_;
};

class SelfTest {
 public:
  SelfTest(const Options& options, std::unique_ptr<Folder> folder)
      : options_(options), folder_(std::move(folder)), bytes_(random_bytes(options.size_bytes)) {}

  Result<Report> run() {
    TINTYPE_ASSIGN_OR_RETURN(directory_, posix_file_system().open_directory(folder_->path()));
    TINTYPE_ASSIGN_OR_RETURN(engine_, Engine::create({}));
    TINTYPE_RETURN_IF_ERROR(engine_->prepare(bytes_.size()));
    Row durable{.name = "durable", .size_bytes = bytes_.size()};
    Row held{.name = "caller held", .size_bytes = bytes_.size()};
    Row small{.name = "durable", .size_bytes = kSmallBytes};
    for (uint32_t round = 0; round < options_.round_count; ++round) {
      if (options_.on_round && options_.on_round(round, options_.round_count)) {
        return Status(StatusCode::interrupted, "interrupted");
      }
      TINTYPE_RETURN_IF_ERROR(compare(bytes_, durable, &held));
      if (bytes_.size() == kSmallBytes) continue;  // that is the first row
      TINTYPE_RETURN_IF_ERROR(compare(ByteView(bytes_).first(kSmallBytes), small, nullptr));
    }
    std::vector<Row> rows = {durable, held};
    if (!small.engine_seconds.empty()) rows.push_back(small);
    return Report{.directory = std::filesystem::absolute(options_.directory).lexically_normal(),
                  .backend = engine_->stats().backend,
                  .rows = std::move(rows)};
  }

 private:
  Status compare(ByteView bytes, Row& durable, Row* held) {
    TINTYPE_RETURN_IF_ERROR(save_by_engine(bytes, durable, held));
    const auto begin = Clock::now();
    TINTYPE_RETURN_IF_ERROR(write_plainly(bytes));
    durable.plain_seconds.push_back(seconds_since(begin));
    if (held != nullptr) held->plain_seconds.push_back(durable.plain_seconds.back());
    return Status::ok();
  }

  Status save_by_engine(ByteView bytes, Row& durable, Row* held) {
    SaveRequest request;
    TargetFile file{.path = folder_->path() + "/" + name_of("engine", bytes)};
    const uint64_t storage_bytes = bytes.size() / kStorageCount;
    for (uint32_t i = 0; i < kStorageCount; ++i) {
      request.storages.push_back(
          {.address = bytes.data() + i * storage_bytes, .size_bytes = storage_bytes});
      file.object.storages.push_back(i);
    }
    request.files.push_back(std::move(file));
    const auto begin = Clock::now();
    TINTYPE_ASSIGN_OR_RETURN(const auto snapshot, engine_->save_async(std::move(request)));
    if (held != nullptr) held->engine_seconds.push_back(seconds_since(begin));
    const std::optional<Status> saved = snapshot->wait_published(std::nullopt);
    durable.engine_seconds.push_back(seconds_since(begin));
    return saved.value_or(Status::ok());
  }

  // Each size replaces files of its own: to free a large one takes long.
  static std::string name_of(std::string_view contender, ByteView bytes) {
    return fmt::format("{}-{}.pth", contender, bytes.size());
  }

  // What careful programs do without an engine.
  Status write_plainly(ByteView bytes) {
    static_cast<void>(directory_->remove("plain.temp"));
    TINTYPE_ASSIGN_OR_RETURN(const auto file, directory_->create("plain.temp", 0666));
    for (uint64_t offset = 0; offset < bytes.size(); offset += kWriteBytes) {
      const uint64_t count = std::min<uint64_t>(kWriteBytes, bytes.size() - offset);
      TINTYPE_RETURN_IF_ERROR(write_fully(*file, bytes.subspan(offset, count), offset));
    }
    TINTYPE_RETURN_IF_ERROR(file->sync_data());
    TINTYPE_RETURN_IF_ERROR(directory_->rename("plain.temp", name_of("plain", bytes)));
    return directory_->sync();
  }

  const Options& options_;
  const std::unique_ptr<Folder> folder_;
  const ByteVector bytes_;
  std::unique_ptr<Directory> directory_;
  std::unique_ptr<Engine> engine_;
};

}  // namespace

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::vector<double> ratios(const Row& row) {
  std::vector<double> result;
  const size_t count = std::min(row.engine_seconds.size(), row.plain_seconds.size());
  for (size_t i = 0; i < count; ++i) {
    result.push_back(row.plain_seconds[i] / row.engine_seconds[i]);
  }
  std::sort(result.begin(), result.end());
  return result;
}

Result<Report> run(const Options& options) {
  TINTYPE_RETURN_IF_ERROR(check_room(options));
  TINTYPE_ASSIGN_OR_RETURN(auto folder, Folder::make(options.directory));
  return SelfTest(options, std::move(folder)).run();
}

}  // namespace tintype::self_test
