// Copy and CRC-32 in one pass through the registers, by carry-less multiply.
//
// A block that is copied and then checked costs the memory bus three transfers (source, the
// target's old lines, the target) and the processor two loops, one after the other. Here each
// vector is loaded once, folded into the CRC while the next loads are on their way, and stored past
// the cache.
#pragma once

#include "base/bytes.h"

namespace tintype {

// Copies `source` to `target` and returns the CRC of `seed`'s bytes followed by what was stored.
// REQUIRES: equal sizes, a multiple of kFoldBytes, above 0; `target` aligned to kFoldAlignment.
// The stores are visible to other threads and devices at return.
using FoldingCopy = uint32_t (*)(uint32_t seed, MutableBytes target, ByteView source);

inline constexpr size_t kFoldBytes = 256;
inline constexpr size_t kFoldAlignment = 32;

// The fastest one that this processor runs; null where there is none.
FoldingCopy folding_copy();

}  // namespace tintype
