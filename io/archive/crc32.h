// CRC-32 as zip and zlib define it (polynomial 0xEDB88320), by ISA-L's carry-less multiply.
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace tintype {

// The CRC of the bytes seen so far (`seed`, 0 at the start) followed by `bytes`.
uint32_t crc32(uint32_t seed, ByteView bytes);

// Copies `source` to `target` and returns the CRC of the bytes that `target` got, even where
// another thread changes `source` meanwhile. One pass over memory, past the cache where the
// processor can: `target` is cold afterwards. REQUIRES: equal sizes, no overlap.
uint32_t copy_with_crc32(MutableBytes target, ByteView source);

}  // namespace tintype
