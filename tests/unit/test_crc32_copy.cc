// copy_with_crc32 against a copy and a bitwise CRC, at every size and place that its parts meet.
#include <algorithm>
#include <random>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "io/archive/crc32.h"
#include "io/archive/crc32_fold.h"

namespace tintype {
namespace {

uint32_t bitwise_crc32(ByteView bytes) {
  uint32_t crc = ~0u;
  for (const std::byte byte : bytes) {
    crc ^= static_cast<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xEDB88320u : 0u);
  }
  return ~crc;
}

ByteVector random_bytes(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  ByteVector bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

// Copies into the middle of a larger buffer and looks at what stands around.
void expect_copied(ByteView source, size_t target_offset) {
  const auto border = std::byte{0xA5};
  ByteVector buffer(source.size() + target_offset + 64, border);
  const MutableBytes target = MutableBytes(buffer).subspan(target_offset, source.size());
  EXPECT_EQ(copy_with_crc32(target, source), bitwise_crc32(source));
  EXPECT_TRUE(std::equal(source.begin(), source.end(), target.begin()));
  const auto is_border = [&](std::byte byte) { return byte == border; };
  EXPECT_TRUE(std::all_of(
      buffer.begin(), target.begin() - MutableBytes(buffer).begin() + buffer.begin(), is_border));
  EXPECT_TRUE(std::all_of(buffer.end() - 64, buffer.end(), is_border));
}

TEST(Crc32Copy, the_check_value_of_the_polynomial) {
  EXPECT_EQ(crc32(0, as_bytes("123456789")), 0xCBF43926u);
  EXPECT_EQ(bitwise_crc32(as_bytes("123456789")), 0xCBF43926u);
}

TEST(Crc32Copy, every_size_around_the_border_of_folding) {
  const ByteVector source = random_bytes(9000, 1);
  for (size_t size = 0; size < 600; ++size) expect_copied(ByteView(source).first(size), 0);
  for (size_t size = 4000; size < 5000; ++size) expect_copied(ByteView(source).first(size), 0);
}

TEST(Crc32Copy, every_alignment_of_source_and_target) {
  const ByteVector source = random_bytes(5000, 2);
  for (size_t from = 0; from < 64; from += 7) {
    for (size_t to = 0; to < 64; ++to) expect_copied(ByteView(source).subspan(from), to);
  }
}

TEST(Crc32Copy, a_large_piece) {
  const ByteVector source = random_bytes((3u << 20) + 77, 3);
  expect_copied(source, 5);
}

TEST(Crc32Copy, folding_goes_on_from_any_seed) {
  const FoldingCopy fold = folding_copy();
  if (fold == nullptr) GTEST_SKIP() << "this processor has no carry-less multiply";
  const ByteVector source = random_bytes(1000 + 8 * kFoldBytes, 4);
  alignas(kFoldAlignment) std::byte target[8 * kFoldBytes];
  for (const size_t head : {0u, 1u, 333u, 1000u}) {
    const uint32_t seed = crc32(0, ByteView(source).first(head));
    for (size_t size = kFoldBytes; size <= 8 * kFoldBytes; size += kFoldBytes) {
      const uint32_t crc =
          fold(seed, MutableBytes(target).first(size), ByteView(source).subspan(head, size));
      EXPECT_EQ(crc, bitwise_crc32(ByteView(source).first(head + size)));
    }
  }
}

}  // namespace
}  // namespace tintype
