#include "tools/doctor/directory.h"

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "io/disk/resuming_writer.h"
#include "io/disk/temp_names.h"
#include "tools/sizes.h"

namespace tintype::doctor {
namespace {

constexpr size_t kBlockBytes = 4096;
constexpr mode_t kNewFileMode = 0600;
constexpr std::chrono::milliseconds kPollTime{100};
// So that a run that was killed leaves nothing that the next save would not remove.
constexpr std::string_view kStem = "tintype-doctor";

constexpr Consequence kNoUnnamedFiles = {
    "a killed save leaves a temporary file, which the next save of a process removes", ""};
constexpr Consequence kNoLocks = {
    "two jobs can write one checkpoint directory at once, and temporary files of killed saves stay "
    "for 24 hours",
    "on NFS mount without `nolock` and run the lock service; else start one job per directory"};
constexpr Consequence kNoPreallocation = {
    "a full disk is found while writing instead of before it, and files are more fragmented", ""};
constexpr Consequence kNoDirectIo = {
    "writes go through the page cache: one copy more per byte, and other cached files are evicted",
    "save to a disk file system (ext4, XFS, btrfs)"};
constexpr Consequence kNoHardLinks = {
    "`best` and `last` are whole copies: each takes the space and the time of a checkpoint", ""};
constexpr Consequence kNoExchange = {
    "a file that is replaced is freed in the save itself, and cannot be put back if the directory "
    "does not sync",
    ""};
constexpr Consequence kNoReflinks = {"nothing: `best` and `last` are hard links instead", ""};
constexpr Consequence kNoReflinksNorLinks = {"see hard_links", ""};

class DirectoryExamination {
 public:
  DirectoryExamination(Directory& directory, WriteQueue& queue, std::vector<Finding>& findings)
      : directory_(directory), queue_(queue), findings_(findings) {}
  ~DirectoryExamination() {
    for (const std::string& name : names_) static_cast<void>(directory_.remove(name));
  }

  Status run();

  DirectoryExamination(const DirectoryExamination&) = delete;
  DirectoryExamination& operator=(const DirectoryExamination&) = delete;

 private:
  Status free_space();
  Status create_file();
  Status locks();
  Status preallocation();
  Status direct_io();
  Status data_sync();
  Status give_name();
  Status hard_links();
  Status exchange();
  Status reflinks();
  Status directory_sync();

  Result<std::unique_ptr<File>> create_named();
  Status write_block(bool is_direct, uint64_t& demotion_count);
  std::string new_name() { return names_.emplace_back(temp_name_for(kStem)); }
  // Success and `unsupported` are findings and let the save go on; anything else would fail it.
  Status judge(std::string_view topic, const Status& status, std::string_view detail,
               Consequence consequence);

  Directory& directory_;
  WriteQueue& queue_;
  std::vector<Finding>& findings_;
  std::unique_ptr<File> file_;
  bool has_hard_links_ = false;
  std::vector<std::string> names_;  // created here, or about to be
};

Status DirectoryExamination::run() {
  using Step = Status (DirectoryExamination::*)();
  constexpr std::array<Step, 11> kSteps = {
      &DirectoryExamination::free_space,    &DirectoryExamination::create_file,
      &DirectoryExamination::locks,         &DirectoryExamination::preallocation,
      &DirectoryExamination::direct_io,     &DirectoryExamination::data_sync,
      &DirectoryExamination::give_name,     &DirectoryExamination::hard_links,
      &DirectoryExamination::exchange,      &DirectoryExamination::reflinks,
      &DirectoryExamination::directory_sync};
  for (const Step step : kSteps) TINTYPE_RETURN_IF_ERROR((this->*step)());
  return Status::ok();
}

Status DirectoryExamination::judge(std::string_view topic, const Status& status,
                                   std::string_view detail, Consequence consequence) {
  if (status.is_ok()) {
    findings_.push_back(found(std::string(topic), std::string(detail)));
    return status;
  }
  if (status.code() == StatusCode::unsupported) {
    Finding finding =
        missing(std::string(topic),
                fmt::format("this file system has none [{}]", errno_name(status.error_number())),
                consequence);
    finding.error_number = status.error_number();
    findings_.push_back(std::move(finding));
    return Status::ok();
  }
  findings_.push_back(unusable(std::string(topic), status));
  return status;
}

Status DirectoryExamination::free_space() {
  const auto available = directory_.available_bytes();
  if (available.is_ok()) {
    findings_.push_back(found_amount("free_space", *available, format_size(*available)));
  } else {
    findings_.push_back(missing("free_space", std::string(available.status().message()),
                                {"a save that does not fit is found while writing", ""}));
  }
  return Status::ok();
}

Result<std::unique_ptr<File>> DirectoryExamination::create_named() {
  return directory_.create(new_name(), kNewFileMode);
}

Status DirectoryExamination::create_file() {
  auto unnamed = directory_.create_unnamed(kStem, kNewFileMode);
  TINTYPE_RETURN_IF_ERROR(judge("unnamed_files", unnamed.status(),
                                "O_TMPFILE: a killed save leaves nothing behind", kNoUnnamedFiles));
  if (unnamed.is_ok()) {
    file_ = std::move(unnamed).value();
    return Status::ok();
  }
  auto named = create_named();
  if (!named.is_ok()) {
    findings_.push_back(unusable("create_file", named.status()));
    return named.status();
  }
  file_ = std::move(named).value();
  return Status::ok();
}

Status DirectoryExamination::locks() {
  return judge("locks", file_->try_lock(), "flock", kNoLocks);
}

Status DirectoryExamination::preallocation() {
  return judge("preallocation", file_->allocate(kBlockBytes), "fallocate", kNoPreallocation);
}

Status DirectoryExamination::write_block(bool is_direct, uint64_t& demotion_count) {
  alignas(kBlockBytes) static constexpr std::array<std::byte, kBlockBytes> kBlock{};
  ResumingWriter writer(queue_);
  writer.start({.file = file_.get(), .data = kBlock, .offset = 0, .token = 1}, is_direct);
  std::vector<FinishedWrite> finished;
  while (finished.empty()) TINTYPE_RETURN_IF_ERROR(writer.poll(finished, kPollTime));
  demotion_count = writer.counters().demotions;
  return finished.front().status;
}

Status DirectoryExamination::direct_io() {
  const Status set = file_->set_direct(true);
  uint64_t demotion_count = 0;
  const Status written = write_block(set.is_ok(), demotion_count);
  static_cast<void>(file_->set_direct(false));
  if (!written.is_ok()) {
    findings_.push_back(unusable("direct_io", written));
    return written;
  }
  if (!set.is_ok()) {
    findings_.push_back(missing("direct_io", std::string(set.message()), kNoDirectIo));
  } else if (demotion_count > 0) {
    findings_.push_back(missing("direct_io", "an aligned block was refused", kNoDirectIo));
  } else {
    findings_.push_back(found("direct_io", fmt::format("{} written with O_DIRECT by {}",
                                                       format_size(kBlockBytes), queue_.name())));
  }
  return Status::ok();
}

// From here on the findings are listed only where a save would fail: every file system has these.
Status DirectoryExamination::data_sync() {
  const Status status = file_->sync_data();
  if (!status.is_ok()) findings_.push_back(unusable("data_sync", status));
  return status;
}

Status DirectoryExamination::give_name() {
  if (!names_.empty()) return Status::ok();
  const Status status = directory_.link_unnamed(*file_, new_name());
  if (!status.is_ok()) findings_.push_back(unusable("name_file", status));
  return status;
}

Status DirectoryExamination::hard_links() {
  const std::string existing = names_.front();
  const Status status = directory_.link(existing, new_name());
  has_hard_links_ = status.is_ok();
  return judge("hard_links", status, "for `best` and `last`", kNoHardLinks);
}

// Two files: the kernel takes an exchange of two names of one file for done without asking.
Status DirectoryExamination::exchange() {
  const std::string first = names_.front();
  auto other = create_named();
  if (!other.is_ok()) {
    findings_.push_back(unusable("create_file", other.status()));
    return other.status();
  }
  return judge("exchange", directory_.exchange(first, names_.back()),
               "RENAME_EXCHANGE: a replaced file can be put back", kNoExchange);
}

Status DirectoryExamination::reflinks() {
  auto copy = create_named();
  if (!copy.is_ok()) {
    findings_.push_back(unusable("create_file", copy.status()));
    return copy.status();
  }
  return judge("reflinks", (*copy)->clone_from(*file_), "copies share their blocks",
               has_hard_links_ ? kNoReflinks : kNoReflinksNorLinks);
}

Status DirectoryExamination::directory_sync() {
  Status status = directory_.rename(names_.back(), names_.front());
  if (status.is_ok()) status = directory_.sync();
  if (!status.is_ok()) findings_.push_back(unusable("directory_sync", status));
  return status;
}

}  // namespace

Status examine_directory(Directory& directory, WriteQueue& queue, std::vector<Finding>& findings) {
  return DirectoryExamination(directory, queue, findings).run();
}

}  // namespace tintype::doctor
