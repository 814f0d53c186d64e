// CRC-32 as zip and zlib define it (polynomial 0xEDB88320), by ISA-L's carry-less multiply.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace tintype {

// The CRC of the bytes seen so far (`seed`, 0 at the start) followed by `bytes`.
uint32_t crc32(uint32_t seed, ByteView bytes);

// Copies `source` to `target` and returns the CRC of what was copied, in one pass over memory:
// block by block, so that the second reading of a block comes from the cache.
// REQUIRES: equal sizes, no overlap.
uint32_t copy_with_crc32(MutableBytes target, ByteView source);

}  // namespace tintype
