// Where the bytes of elements lie when they are sorted into planes: arithmetic shared by host and
// device code.
//
// A run of `count` elements of `width` bytes becomes `width` planes of `count` bytes. Plane b holds
// byte b of every element, counted from the least significant. A rotated run's elements are first
// turned left by one bit: a float's sign then lies in the lowest bit, and its exponent begins with
// the highest byte.
#pragma once

#include <cstdint>

namespace tintype {

// The place of byte `byte` of element `element` when the planes lie one behind the other.
constexpr uint64_t plane_index(uint64_t element, uint32_t byte, uint64_t count) {
  return byte * count + element;
}

// For elements of `width` bytes (1 to 8) in the low bytes of a word; those above are zero.
constexpr uint64_t rotate_element_left(uint64_t element, uint32_t width) {
  const uint32_t bits = 8 * width;
  const uint64_t kept = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  return ((element << 1) & kept) | (element >> (bits - 1));
}

constexpr uint64_t rotate_element_right(uint64_t element, uint32_t width) {
  return (element >> 1) | ((element & 1) << (8 * width - 1));
}

}  // namespace tintype
