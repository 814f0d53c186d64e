// Tells values of two pickles apart, whatever their size.
#pragma once

#include <complex>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/restore/container.h"
#include "io/archive/pickle_tree.h"

namespace tintype {

// 64 bits over all that a value holds, at any depth. Values that Python calls equal and that are of
// one type have equal fingerprints, in one file or in two: sets and dicts in any order, -0.0 and
// 0.0, a dict and an OrderedDict; NaN equals NaN. Others have different ones, but for chance.
// Tensors and storages in it count by their place alone: they are compared by themselves.
class ValueFingerprints {
 public:
  // `tree` outlives this.
  explicit ValueFingerprints(const PickleTree& tree)
      : tree_(tree), known_(tree.value_count(), kUnknown) {}

  uint64_t of(ValueId value);
  // Of all but the floats of a float, a complex, or a list or tuple of scalars: they are appended
  // to `numbers` in their order. Not remembered.
  uint64_t of_all_but_numbers(ValueId value, std::vector<std::complex<double>>& numbers);
  // As of() of such a value.
  static uint64_t of_integer(int64_t value);
  static uint64_t of_text(std::string_view text);
  // Of keys that lead from the root to a value, one more than `path` has; 0 leads to the root.
  // Unlike names, paths tell 1 from "1", and "a/b" from "a" and "b".
  static uint64_t of_path(uint64_t path, uint64_t key);
  // Of its type, and the factory of a defaultdict or the like, without the members.
  uint64_t of_kind(const Container& container);

 private:
  static constexpr uint64_t kUnknown = 0;

  uint64_t compute(ValueId value);
  uint64_t with_parts(uint64_t hash, std::span<const ValueId> parts);
  // Of `step` parts each, in whatever order they come.
  uint64_t with_unordered(uint64_t hash, std::span<const ValueId> parts, size_t step);
  uint64_t with_members(uint64_t hash, const Container& container);

  const PickleTree& tree_;
  std::vector<uint64_t> known_;
  uint64_t depth_ = 0;
};

}  // namespace tintype
