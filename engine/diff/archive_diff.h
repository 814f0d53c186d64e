// What differs between two checkpoints, by the keys that lead to it. C++'s `diff`.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/diff/element_difference.h"
#include "engine/restore/archive.h"
#include "engine/restore/parallel_read.h"

namespace tintype {

struct DiffOptions {
  Tolerance tolerance;  // of tensors and of floats and complex numbers beside them
  ReadOptions reading;
  // Before each tensor that both have: its position among `count`.
  std::function<void(size_t position, size_t count, std::string_view name)> on_tensor;
};

struct TensorDifference {
  enum class Kind {
    only_in_first,
    only_in_second,
    type,    // dtype, or one is meta
    shape,   // of the same dtype
    values,  // of the same dtype and shape
  };

  Kind kind = Kind::values;
  std::string name;
  std::optional<TensorEntry> first;
  std::optional<TensorEntry> second;
  ElementDifference elements;  // for `values`
};

struct ValueDifference {
  std::string name;
  std::optional<ValueEntry> first;
  std::optional<ValueEntry> second;
};

struct ArchiveDiff {
  std::vector<TensorDifference> tensors;  // in the first one's order, then the second's alone
  std::vector<ValueDifference> values;    // first containers whose kinds differ
  uint64_t common_tensor_count = 0;       // that both have
  uint64_t common_value_count = 0;        // and of containers those whose kinds differ
  uint64_t tolerated_value_count = 0;     // of these: not equal, but their floats agree
  ElementDifference elements;             // over all tensors of the same dtype and shape
  // Of quantized tensors the integers are compared, not their scales.
  uint64_t quantized_count = 0;

  // Within the tolerance.
  bool is_equal() const { return tensors.empty() && values.empty(); }
  bool is_exactly_equal() const {
    return is_equal() && elements.max_absolute == 0 && tolerated_value_count == 0;
  }
};

// Compares what the two hold, not how it is laid out: devices, strides, shared storages and
// requires_grad do not matter. Errors as compare_tensors.
Result<ArchiveDiff> diff_archives(const Archive& first, const Archive& second,
                                  const DiffOptions& options = {});

}  // namespace tintype
