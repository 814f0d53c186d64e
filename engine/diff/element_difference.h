// How far the elements of two tensors of one type lie apart. Pure.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/bytes.h"

namespace tintype {

// Two elements a and b agree where |a - b| <= max(absolute, relative * max(|a|, |b|)). NaN agrees
// with NaN and with nothing else, 0.0 with -0.0.
struct Tolerance {
  double absolute = 0;
  double relative = 0;
};

// Sums over elements; those of pieces add up.
struct ElementDifference {
  uint64_t differing_count = 0;  // do not agree
  // Of these: no distance, as one of the two is NaN or infinite. They count in no maximum.
  uint64_t nonfinite_count = 0;
  // |a - b| over all elements, those that agree included; infinite where no double is so large,
  // which spoils neither the tolerance nor the relative distance.
  double max_absolute = 0;
  double max_relative = 0;  // |a - b| / max(|a|, |b|)

  void add(const ElementDifference& other);
};

// What flags of the tensor say about its stored bytes.
struct ElementFlags {
  bool is_conjugate = false;
  bool is_negative = false;

  bool operator==(const ElementFlags&) const = default;
};

// False for packed and opaque types (several elements in a byte, bits): their bytes are compared,
// and they have no distances.
bool has_distances(std::string_view dtype);

// Compares as many elements as `first` and `second` hold. REQUIRES: both have the same size, a
// multiple of `element_bytes`, which is the size of `dtype`.
ElementDifference compare_elements(std::string_view dtype, uint32_t element_bytes, ByteView first,
                                   ElementFlags first_flags, ByteView second,
                                   ElementFlags second_flags, const Tolerance& tolerance);

}  // namespace tintype
