#include "io/archive/byte_source.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/crc32_combine.h"
#include "io/archive/crc32.h"
#include "io/archive/file_faults.h"

namespace tintype {
namespace {

// A block is still in the second-level cache when it is copied on; a much smaller one costs calls.
constexpr size_t kBlockBytes = 128u << 10;
constexpr size_t kSmallBytes = 16u << 10;  // in the first-level cache anyhow

}  // namespace

// By way of a block that stays in the cache: the kernel's copy into it and the folding copy out of
// it cost 5 % more than the kernel's copy alone; a CRC over `target` afterwards costs 50 %.
Result<uint32_t> ByteSource::read_with_crc(MutableBytes target, uint64_t offset) const {
  if (target.size() <= kSmallBytes) {
    TINTYPE_RETURN_IF_ERROR(read_at(target, offset));
    return crc32(0, target);
  }
  alignas(64) std::array<std::byte, kBlockBytes> block;  // not initialized
  uint32_t crc = 0;
  for (size_t done = 0; done < target.size(); done += kBlockBytes) {
    const MutableBytes part = target.subspan(done, std::min(kBlockBytes, target.size() - done));
    const MutableBytes read = MutableBytes(block).first(part.size());
    TINTYPE_RETURN_IF_ERROR(read_at(read, offset + done));
    crc = crc32_combine(crc, copy_with_crc32(part, read), part.size());
  }
  return crc;
}

Result<uint32_t> MemorySource::read_with_crc(MutableBytes target, uint64_t offset) const {
  TINTYPE_RETURN_IF_ERROR(check_range(*this, offset, target.size()));
  return copy_with_crc32(target, bytes_.subspan(offset, target.size()));
}

Status check_range(const ByteSource& source, uint64_t offset, uint64_t size_bytes) {
  if (offset <= source.size_bytes() && size_bytes <= source.size_bytes() - offset) {
    return Status::ok();
  }
  return damaged_file(source.name(),
                      fmt::format("ends at byte {}, but {} bytes at {} are needed: it is cut off",
                                  source.size_bytes(), size_bytes, offset));
}

Result<ByteVector> read_range(const ByteSource& source, uint64_t offset, uint64_t size_bytes) {
  TINTYPE_RETURN_IF_ERROR(check_range(source, offset, size_bytes));  // before the memory is taken
  ByteVector bytes(size_bytes);
  TINTYPE_RETURN_IF_ERROR(source.read_at(bytes, offset));
  return bytes;
}

}  // namespace tintype
