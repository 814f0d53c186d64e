// Recognises the calls by which torch's pickles describe tensors.
#pragma once

#include <optional>

#include "base/status.h"
#include "engine/restore/tensor_entry.h"
#include "io/archive/pickle_tree.h"

namespace tintype {

struct FoundTensor {
  TensorEntry tensor;                 // without a name
  std::optional<ValueId> attributes;  // a dict of Python attributes that may hold more tensors
};

// The tensor that this value (a call or a storage) describes; nullopt for anything else; corruption
// for one whose geometry is impossible. Never follows more than a few links.
Result<std::optional<FoundTensor>> read_tensor(const PickleTree& tree, ValueId value);

}  // namespace tintype
