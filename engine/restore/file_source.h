// A file on disk as a ByteSource.
#pragma once

#include <memory>
#include <string>

#include "io/archive/byte_source.h"
#include "io/disk/file_system.h"

namespace tintype {

class FileSource final : public ByteSource {
 public:
  static Result<std::unique_ptr<FileSource>> own(std::unique_ptr<File> file);
  // `file` outlives this.
  static Result<std::unique_ptr<FileSource>> over(File& file);
  // Opens for reading, symlinks followed. A directory is EISDIR, a device or pipe `unsupported`.
  static Result<std::unique_ptr<FileSource>> open(FileSystem& file_system, const std::string& path);

  uint64_t size_bytes() const override { return size_bytes_; }
  Status read_at(MutableBytes target, uint64_t offset) const override;
  const std::string& name() const override { return file_->path(); }

 private:
  FileSource(std::unique_ptr<File> owned, File& file, uint64_t size_bytes)
      : owned_(std::move(owned)), file_(&file), size_bytes_(size_bytes) {}

  std::unique_ptr<File> owned_;  // null where another owns it
  File* file_;
  uint64_t size_bytes_;
};

}  // namespace tintype
