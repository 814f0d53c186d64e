#include "io/disk/file_system.h"

#include <algorithm>
#include <cerrno>

#include <fmt/format.h>

namespace tintype {

Result<ByteVector> read_whole(File& file, uint64_t limit_bytes) {
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo info, file.info());
  if (info.size_bytes > limit_bytes) {
    return Status::invalid_argument(fmt::format("read '{}': {} bytes are more than the limit of {}",
                                                file.path(), info.size_bytes, limit_bytes))
        .with_path(file.path());
  }
  ByteVector content(info.size_bytes);
  size_t filled = 0;
  while (filled < content.size()) {
    TINTYPE_ASSIGN_OR_RETURN(const size_t count,
                             file.read_at(MutableBytes(content).subspan(filled), filled));
    if (count == 0) break;  // truncated meanwhile
    filled += count;
  }
  content.resize(filled);
  return content;
}

Status write_fully(File& file, ByteView data, uint64_t offset) {
  while (!data.empty()) {
    TINTYPE_ASSIGN_OR_RETURN(const size_t count, file.write_at(data, offset));
    if (count == 0) return errno_status(EIO, "write (nothing was taken)", file.path());
    data = data.subspan(std::min(count, data.size()));
    offset += count;
  }
  return Status::ok();
}

}  // namespace tintype
