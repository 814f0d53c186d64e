// Finds the tensors and values that a checkpoint's pickle describes, and names them.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "engine/restore/tensor_entry.h"
#include "io/archive/pickle_tree.h"
#include "io/archive/read_limits.h"

namespace tintype {

struct CheckpointContents {
  std::vector<TensorEntry> tensors;
  std::vector<ValueEntry> values;
  // What these lie in: lists, tuples and dicts that are not empty, their members left out of type,
  // text and fingerprint.
  std::vector<ValueEntry> containers;
};

// corruption for a tensor whose geometry is impossible (beyond its storage, overflowing);
// unsupported where the walk exceeds a limit (depth, far more paths than values, far longer names
// than the pickle holds).
Result<CheckpointContents> find_contents(const PickleTree& tree, const ReadLimits& limits = {});

}  // namespace tintype
