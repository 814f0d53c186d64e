// XXH64, the checksum of zstd's frames and seek tables (RFC 8878, 3.1.1; the algorithm is specified
// at github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md).
#pragma once

#include <cstdint>

#include "base/bytes.h"

namespace tintype {

// Of all of `bytes`, with seed 0.
uint64_t xxh64(ByteView bytes);

}  // namespace tintype
