// Views of raw bytes, alignment arithmetic and little-endian stores: the vocabulary of every layer.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tintype {

static_assert(std::endian::native == std::endian::little, "file forms are little-endian");

using ByteView = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;
using ByteVector = std::vector<std::byte>;

// The smallest multiple of `alignment` (> 0) that is not below `value`.
constexpr uint64_t align_up(uint64_t value, uint64_t alignment) {
  const uint64_t rest = value % alignment;
  return rest == 0 ? value : value + (alignment - rest);
}

constexpr uint64_t divide_up(uint64_t value, uint64_t divisor) {
  return value / divisor + (value % divisor != 0 ? 1 : 0);
}

inline ByteView as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Appends an unsigned integer in little-endian order.
template <typename Integer>
void append_little_endian(ByteVector& target, Integer value) {
  const auto* first = reinterpret_cast<const std::byte*>(&value);
  target.insert(target.end(), first, first + sizeof(Integer));
}

inline void append_bytes(ByteVector& target, ByteView bytes) {
  target.insert(target.end(), bytes.begin(), bytes.end());
}

inline void append_text(ByteVector& target, std::string_view text) {
  append_bytes(target, as_bytes(text));
}

// Reads an unsigned integer in little-endian order. REQUIRES: offset + sizeof(Integer) <= size.
template <typename Integer>
Integer load_little_endian(ByteView bytes, size_t offset) {
  Integer value;
  std::memcpy(&value, bytes.data() + offset, sizeof(Integer));
  return value;
}

// Writes an unsigned integer in little-endian order. REQUIRES: offset + sizeof(Integer) <= size.
template <typename Integer>
void store_little_endian(MutableBytes bytes, size_t offset, Integer value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(Integer));
}

}  // namespace tintype
