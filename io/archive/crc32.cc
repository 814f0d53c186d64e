#include "io/archive/crc32.h"

#include <algorithm>
#include <cstring>

#include <isa-l/crc.h>

#include "base/check.h"
#include "io/archive/crc32_fold.h"

namespace tintype {
namespace {

constexpr size_t kBlockBytes = 32u << 10;   // fits the first-level cache beside its copy's lines
constexpr size_t kFoldBytesMin = 4u << 10;  // below, what surrounds the folding costs more

// Block by block, so that the second reading of a block comes from the cache. The copy is checked,
// not the source: the CRC then speaks for the bytes that get written.
uint32_t copy_blocks(uint32_t crc, MutableBytes target, ByteView source) {
  for (size_t offset = 0; offset < source.size(); offset += kBlockBytes) {
    const size_t block = std::min(kBlockBytes, source.size() - offset);
    std::memcpy(target.data() + offset, source.data() + offset, block);
    crc = crc32(crc, target.subspan(offset, block));
  }
  return crc;
}

}  // namespace

uint32_t crc32(uint32_t seed, ByteView bytes) {
  return crc32_gzip_refl(seed, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
}

uint32_t copy_with_crc32(MutableBytes target, ByteView source) {
  TINTYPE_CHECK(target.size() == source.size());
  const FoldingCopy fold = folding_copy();
  if (fold == nullptr || source.size() < kFoldBytesMin) return copy_blocks(0, target, source);
  // torch aligns records to 64 bytes, so that the head is empty unless it was told otherwise.
  const size_t misalignment = reinterpret_cast<uintptr_t>(target.data()) % kFoldAlignment;
  const size_t head = misalignment == 0 ? 0 : kFoldAlignment - misalignment;
  const size_t body = (source.size() - head) / kFoldBytes * kFoldBytes;
  uint32_t crc = copy_blocks(0, target.first(head), source.first(head));
  crc = fold(crc, target.subspan(head, body), source.subspan(head, body));
  return copy_blocks(crc, target.subspan(head + body), source.subspan(head + body));
}

}  // namespace tintype
