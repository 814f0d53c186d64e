#include "tests/fuzz/mutator.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace tintype::fuzzing {
namespace {

constexpr size_t kInputBytesMax = 64u << 10;
constexpr size_t kChangesMax = 4;
// Where sizes, counts and offsets turn over, in one to eight bytes.
constexpr std::array<uint64_t, 16> kEdges = {0,
                                             1,
                                             2,
                                             0x7F,
                                             0x80,
                                             0xFF,
                                             0x100,
                                             0x7FFF,
                                             0xFFFF,
                                             0x10000,
                                             0x4000000,
                                             0x7FFFFFFF,
                                             0xFFFFFFFF,
                                             0x100000000,
                                             0x7FFFFFFFFFFFFFFF,
                                             0xFFFFFFFFFFFFFFFF};

auto at(ByteVector& bytes, size_t offset) {
  return bytes.begin() + static_cast<std::ptrdiff_t>(offset);
}

}  // namespace

ByteVector Mutator::next() {
  ByteVector bytes = any();
  for (size_t count = 1 + below(kChangesMax); count > 0; --count) change(bytes);
  if (bytes.size() > kInputBytesMax) bytes.resize(kInputBytesMax);
  return bytes;
}

void Mutator::change(ByteVector& bytes) {
  using Change = void (Mutator::*)(ByteVector&);
  constexpr std::array<Change, 8> kChanges = {
      &Mutator::flip_bit, &Mutator::set_byte, &Mutator::set_integer, &Mutator::add_to_integer,
      &Mutator::erase,    &Mutator::repeat,   &Mutator::copy_within, &Mutator::splice};
  if (bytes.empty()) return splice(bytes);
  (this->*kChanges[below(kChanges.size())])(bytes);
}

void Mutator::flip_bit(ByteVector& bytes) {
  bytes[below(bytes.size())] ^= std::byte{1} << below(8);
}

void Mutator::set_byte(ByteVector& bytes) {
  bytes[below(bytes.size())] = static_cast<std::byte>(random_());
}

void Mutator::set_integer(ByteVector& bytes) {
  const uint64_t value = kEdges[below(kEdges.size())];
  const size_t offset = below(bytes.size());
  const size_t width = std::min(size_t{1} << below(4), bytes.size() - offset);
  std::memcpy(&bytes[offset], &value, width);
}

void Mutator::add_to_integer(ByteVector& bytes) {
  const size_t offset = below(bytes.size());
  const size_t width = std::min(size_t{1} << below(4), bytes.size() - offset);
  uint64_t value = 0;
  std::memcpy(&value, &bytes[offset], width);
  value += below(33) - 16;  // turns over where it is smaller
  std::memcpy(&bytes[offset], &value, width);
}

// A few bytes, or all that follow.
void Mutator::erase(ByteVector& bytes) {
  const size_t begin = below(bytes.size());
  const size_t left = bytes.size() - begin;
  const size_t count = below(4) == 0 ? left : std::min(left, 1 + below(64));
  bytes.erase(at(bytes, begin), at(bytes, begin + count));
}

void Mutator::repeat(ByteVector& bytes) {
  const size_t begin = below(bytes.size());
  const size_t count = std::min(bytes.size() - begin, 1 + below(64));
  const ByteVector part(at(bytes, begin), at(bytes, begin + count));
  for (size_t times = 1 + below(16); times > 0; --times) {
    bytes.insert(at(bytes, begin), part.begin(), part.end());
  }
}

void Mutator::copy_within(ByteVector& bytes) {
  const size_t from = below(bytes.size());
  const size_t to = below(bytes.size());
  const size_t count = std::min(bytes.size() - std::max(from, to), 1 + below(64));
  std::memmove(&bytes[to], &bytes[from], count);
}

// From some place on, the rest of another.
void Mutator::splice(ByteVector& bytes) {
  const ByteVector& other = any();
  bytes.resize(below(bytes.size() + 1));
  append_bytes(bytes, ByteView(other).subspan(below(other.size() + 1)));
}

}  // namespace tintype::fuzzing
