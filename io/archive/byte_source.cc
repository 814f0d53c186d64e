#include "io/archive/byte_source.h"

#include <fmt/format.h>

namespace tintype {

Status check_range(const ByteSource& source, uint64_t offset, uint64_t size_bytes) {
  if (offset <= source.size_bytes() && size_bytes <= source.size_bytes() - offset) {
    return Status::ok();
  }
  return Status::corruption(
      fmt::format("'{}' ends at byte {}, but {} bytes at {} are needed: it is "
                  "cut off; copy or download it again",
                  source.name(), source.size_bytes(), size_bytes, offset));
}

Result<ByteVector> read_range(const ByteSource& source, uint64_t offset, uint64_t size_bytes) {
  TINTYPE_RETURN_IF_ERROR(check_range(source, offset, size_bytes));  // before the memory is taken
  ByteVector bytes(size_bytes);
  TINTYPE_RETURN_IF_ERROR(source.read_at(bytes, offset));
  return bytes;
}

}  // namespace tintype
