// A File over a descriptor of the kernel.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "io/disk/file_system.h"
#include "io/disk/process_registry.h"

namespace tintype {

class PosixFile final : public File {
 public:
  // `open` as Descriptor takes it; `operation` names it in an error.
  static Result<std::unique_ptr<File>> open(const std::function<int()>& open,
                                            std::string_view operation, std::string path);

  Result<size_t> write_at(ByteView data, uint64_t offset) override;
  Result<size_t> read_at(MutableBytes target, uint64_t offset) override;
  Status allocate(uint64_t size_bytes) override;
  Status truncate(uint64_t size_bytes) override;
  Status sync_data() override;
  Result<FileInfo> info() override;
  Status set_mode(mode_t mode) override;
  Status try_lock() override;
  Status set_direct(bool is_direct) override;
  double cached_share(uint64_t size_bytes) override;
  Status clone_from(File& source) override;
  int descriptor() const override { return descriptor_.number(); }
  const std::string& path() const override { return path_; }

 private:
  PosixFile(const std::function<int()>& open, std::string path)
      : descriptor_(open), path_(std::move(path)) {}

  Descriptor descriptor_;
  const std::string path_;
};

FileInfo file_info_from(const struct stat& status);

// errno_status with the code `unsupported`, for a refusal that has a way around it.
Status unsupported_status(int error_number, std::string_view operation, std::string_view path);

// Repeats a system call that a signal interrupted.
template <typename Call>
auto without_interrupts(const Call& call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

}  // namespace tintype
