#include "io/archive/crc32.h"

#include <algorithm>
#include <cstring>

#include <isa-l/crc.h>

#include "base/check.h"

namespace tintype {
namespace {

constexpr size_t kBlockBytes = 32u << 10;  // fits the first-level cache beside its copy's lines

}  // namespace

uint32_t crc32(uint32_t seed, ByteView bytes) {
  return crc32_gzip_refl(seed, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

uint32_t copy_with_crc32(MutableBytes target, ByteView source) {
  TINTYPE_CHECK(target.size() == source.size());
  uint32_t crc = 0;
  for (size_t offset = 0; offset < source.size(); offset += kBlockBytes) {
    const size_t block = std::min(kBlockBytes, source.size() - offset);
    std::memcpy(target.data() + offset, source.data() + offset, block);
    // The copy is checked, not the source: the CRC then speaks for the bytes that get written.
    crc = crc32(crc, target.subspan(offset, block));
  }
  return crc;
}

}  // namespace tintype
