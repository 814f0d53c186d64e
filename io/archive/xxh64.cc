#include "io/archive/xxh64.h"

#include <xxhash.h>

namespace tintype {

uint64_t xxh64(ByteView bytes) { return XXH64(bytes.data(), bytes.size(), 0); }

}  // namespace tintype
