// Where the bytes of elements lie when they are sorted into planes: arithmetic shared by host and
// device code.
//
// A run of `count` elements of `width` bytes becomes `width` planes of `count` bytes. Plane b holds
// byte b of every element, counted from the least significant. A rotated run's elements are first
// turned left by one bit: a float's sign then lies in the lowest bit, and its exponent begins with
// the highest byte.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/host_device.h"

namespace tintype {

// The place of byte `byte` of element `element` when the planes lie one behind the other.
TINTYPE_HOST_DEVICE constexpr uint64_t plane_index(uint64_t element, uint32_t byte,
                                                   uint64_t count) {
  return byte * count + element;
}

TINTYPE_HOST_DEVICE constexpr std::byte element_byte(uint64_t element, uint32_t byte) {
  return static_cast<std::byte>(element >> (8 * byte));
}

// For elements of `width` bytes (1 to 8) in the low bytes of a word; those above are zero.
TINTYPE_HOST_DEVICE constexpr uint64_t rotate_element_left(uint64_t element, uint32_t width) {
  const uint32_t bits = 8 * width;
  const uint64_t kept = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  return ((element << 1) & kept) | (element >> (bits - 1));
}

TINTYPE_HOST_DEVICE constexpr uint64_t rotate_element_right(uint64_t element, uint32_t width) {
  return (element >> 1) | ((element & 1) << (8 * width - 1));
}

// How a copy sorts whole elements into the planes of the run that they are part of.
struct PlaneSplit {
  uint32_t width = 1;  // bytes of an element; 1: the bytes go as they are
  bool is_rotated = false;
  uint64_t plane_bytes = 0;  // from one plane to the next: the elements of the run
};

// The elements of a copy by how they are stored: four at a time as a word of each plane, where the
// words are aligned, and else one by one.
inline constexpr uint32_t kSplitWordBytes = 4;
struct SplitWords {
  uint64_t head_elements = 0;
  uint64_t word_count = 0;
  uint64_t tail_elements = 0;  // less than a word's
};

// `target` is where the first element's lowest byte goes.
TINTYPE_HOST_DEVICE constexpr SplitWords cut_into_words(uint64_t target, uint64_t plane_bytes,
                                                        uint64_t element_count) {
  const uint64_t to_boundary = (~target + 1) % kSplitWordBytes;
  const bool has_words = plane_bytes % kSplitWordBytes == 0 && to_boundary <= element_count;
  if (!has_words) return {element_count, 0, 0};
  const uint64_t rest = element_count - to_boundary;
  return {to_boundary, rest / kSplitWordBytes, rest % kSplitWordBytes};
}

}  // namespace tintype
