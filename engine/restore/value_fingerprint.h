// Tells values of two pickles apart, whatever their size.
#pragma once

#include <cstdint>
#include <vector>

#include "io/archive/pickle_tree.h"

namespace tintype {

// 64 bits over all that a value holds, at any depth. Equal values, of one file or of two, have
// equal fingerprints; others have different ones, but for chance. Tensors and storages in it count
// by their place alone: they are compared by themselves.
class ValueFingerprints {
 public:
  // `tree` outlives this.
  explicit ValueFingerprints(const PickleTree& tree)
      : tree_(tree), known_(tree.value_count(), kUnknown) {}

  uint64_t of(ValueId value);

 private:
  static constexpr uint64_t kUnknown = 0;

  uint64_t compute(ValueId value);
  uint64_t with_parts(uint64_t hash, std::span<const ValueId> parts);

  const PickleTree& tree_;
  std::vector<uint64_t> known_;
  uint64_t depth_ = 0;
};

}  // namespace tintype
