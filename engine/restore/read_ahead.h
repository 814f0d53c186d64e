// A file that is not in the page cache, read past the cache, ahead of its reader.
//
// Background threads fetch the file front to back into a window of extents while the reader works
// on what came before; so the disk never waits for the reader, nor the reader for one record's
// bytes at a time. The window follows the reader. What lies outside of it (the directory at the
// end, a step back) is read from the plain source.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/disk/file_system.h"
#include "io/disk/target_path.h"

namespace tintype {

class ReadAhead final : public ByteSource {
 public:
  // `direct` is the same file with O_DIRECT. The memory is taken and the fetching begins at once;
  // resource_exhausted when memory is refused.
  static Result<std::unique_ptr<ReadAhead>> start(std::unique_ptr<ByteSource> source,
                                                  std::unique_ptr<File> direct);
  ~ReadAhead() override;  // waits for the reads that the kernel still holds

  uint64_t size_bytes() const override { return source_->size_bytes(); }
  Status read_at(MutableBytes target, uint64_t offset) const override;
  Result<uint32_t> read_with_crc(MutableBytes target, uint64_t offset) const override;
  const std::string& name() const override { return source_->name(); }

 private:
  class Window;
  ReadAhead(std::unique_ptr<ByteSource> source, std::unique_ptr<Window> window);

  const std::unique_ptr<ByteSource> source_;
  const std::unique_ptr<Window> window_;
};

// A file for one pass from front to back: with read-ahead where it is large and mostly not in the
// page cache and can be read directly, else plainly. Errors as FileSource::open.
Result<std::unique_ptr<ByteSource>> open_for_one_pass(FileSystem& file_system,
                                                      const std::string& path);
// The same of a file that was opened there already, and outlives the result.
Result<std::unique_ptr<ByteSource>> open_for_one_pass(const TargetPath& place, File& file);

}  // namespace tintype
