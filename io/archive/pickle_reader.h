// Reads pickles of protocols 2 to 5 as data. Nothing is imported, called or built: it is a stack
// machine over an allow-list of opcodes, so no pickle can do more than fill the tree.
#pragma once

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/pickle_tree.h"
#include "io/archive/read_limits.h"

namespace tintype {

// corruption (with the offset in the pickle) for what no pickler writes: an unbalanced stack, a
// length beyond the end, an unknown memo number. unsupported for opcodes outside the allow-list
// (INST, OBJ, EXT, protocols 0 and 1) and for what exceeds a limit. Bytes behind STOP are ignored,
// as torch ignores them. O(bytes) in time and memory.
Result<PickleTree> read_pickle(ByteVector pickle, const ReadLimits& limits = {});

}  // namespace tintype
