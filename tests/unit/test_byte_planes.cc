// Splitting and joining against the plain arithmetic of base/plane_index.h, at every size that
// their parts meet.
#include <algorithm>
#include <array>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/plane_index.h"
#include "io/archive/byte_planes.h"

namespace tintype {
namespace {

ByteVector random_bytes(size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  ByteVector bytes(size);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

ByteVector expected_planes(ByteView elements, uint32_t width, bool is_rotated) {
  const size_t count = elements.size() / width;
  ByteVector planes(elements.size());
  for (size_t i = 0; i < count; ++i) {
    uint64_t element = 0;
    std::memcpy(&element, elements.data() + i * width, width);
    if (is_rotated) element = rotate_element_left(element, width);
    for (uint32_t b = 0; b < width; ++b) {
      planes[plane_index(i, b, count)] = static_cast<std::byte>(element >> (8 * b));
    }
  }
  return planes;
}

// Planes in memory of their own, between borders that must stay; `shift` moves them off alignment.
struct Planes {
  static constexpr size_t kBorder = 64;

  Planes(uint32_t width, size_t plane_bytes, size_t plane_shift)
      : memory(width, ByteVector(plane_bytes + 2 * kBorder + plane_shift, std::byte{0xA5})),
        count(plane_bytes),
        shift(plane_shift) {
    for (ByteVector& plane : memory) places.push_back(plane.data() + kBorder + shift);
  }

  ByteVector joined() const {
    ByteVector all;
    for (const std::byte* place : places) all.insert(all.end(), place, place + count);
    return all;
  }

  bool has_borders() const {
    return std::all_of(memory.begin(), memory.end(), [&](const ByteVector& plane) {
      const auto is_border = [](std::byte byte) { return byte == std::byte{0xA5}; };
      const auto begin = static_cast<ptrdiff_t>(kBorder + shift);
      return std::all_of(plane.begin(), plane.begin() + begin, is_border) &&
             std::all_of(plane.begin() + begin + static_cast<ptrdiff_t>(count), plane.end(),
                         is_border);
    });
  }

  std::vector<ByteVector> memory;
  std::vector<std::byte*> places;
  size_t count;
  size_t shift;
};

void expect_round_trip(uint32_t width, size_t count, bool is_rotated, size_t shift) {
  SCOPED_TRACE(testing::Message() << "width " << width << " count " << count << " rotated "
                                  << is_rotated << " shift " << shift);
  const ByteVector memory = random_bytes(width * count + shift, static_cast<uint32_t>(count));
  const ByteView elements = ByteView(memory).subspan(shift);
  Planes planes(width, count, shift);
  split_planes(elements, is_rotated, planes.places);
  EXPECT_EQ(planes.joined(), expected_planes(elements, width, is_rotated));
  EXPECT_TRUE(planes.has_borders());

  Planes portable_planes(width, count, 0);
  portable::split_planes(elements, is_rotated, portable_planes.places);
  EXPECT_EQ(portable_planes.joined(), planes.joined());

  ByteVector back(width * count + shift + Planes::kBorder, std::byte{0xA5});
  const std::vector<const std::byte*> sources(planes.places.begin(), planes.places.end());
  const MutableBytes target = MutableBytes(back).subspan(shift, width * count);
  join_planes(sources, is_rotated, target);
  EXPECT_TRUE(std::equal(target.begin(), target.end(), elements.begin()));
  EXPECT_TRUE(std::all_of(back.end() - Planes::kBorder, back.end(),
                          [](std::byte byte) { return byte == std::byte{0xA5}; }));
  std::fill(target.begin(), target.end(), std::byte{0});
  portable::join_planes(sources, is_rotated, target);
  EXPECT_TRUE(std::equal(target.begin(), target.end(), elements.begin()));
}

TEST(BytePlanes, every_width_and_size_around_the_vectors) {
  for (uint32_t width = 1; width <= 8; ++width) {
    for (size_t count = 0; count <= 200; ++count) {
      for (const bool is_rotated : {false, true}) expect_round_trip(width, count, is_rotated, 0);
    }
  }
}

TEST(BytePlanes, every_alignment) {
  for (uint32_t width = 1; width <= 8; ++width) {
    for (size_t shift = 1; shift < 64; shift += 3) {
      for (const bool is_rotated : {false, true}) {
        expect_round_trip(width, 1000, is_rotated, shift);
      }
    }
  }
}

TEST(BytePlanes, a_rotated_floats_highest_plane_is_its_exponent) {
  const std::array<float, 3> values = {1.0F, -1.0F, 0.5F};
  std::array<std::array<std::byte, 3>, 4> planes = {};
  const std::array<std::byte*, 4> places = {planes[0].data(), planes[1].data(), planes[2].data(),
                                            planes[3].data()};
  split_planes(std::as_bytes(std::span(values)), true, places);
  EXPECT_EQ(planes[3], (std::array{std::byte{127}, std::byte{127}, std::byte{126}}));
  EXPECT_EQ(planes[0], (std::array{std::byte{0}, std::byte{1}, std::byte{0}}));
}

TEST(PlaneIndex, words_are_aligned_in_every_plane_and_leave_no_element_out) {
  for (uint64_t target = 0; target < 9; ++target) {
    for (uint64_t plane_bytes = 20; plane_bytes < 29; ++plane_bytes) {
      for (uint64_t count = 0; count <= 20; ++count) {
        const SplitWords words = cut_into_words(target, plane_bytes, count);
        const uint64_t in_words = words.word_count * kSplitWordBytes;
        EXPECT_EQ(words.head_elements + in_words + words.tail_elements, count);
        if (words.word_count == 0) continue;
        EXPECT_LT(words.head_elements, kSplitWordBytes);
        EXPECT_LT(words.tail_elements, kSplitWordBytes);
        for (uint32_t b = 0; b < 8; ++b) {
          const uint64_t first = target + plane_index(words.head_elements, b, plane_bytes);
          EXPECT_EQ(first % kSplitWordBytes, 0u);
        }
      }
    }
  }
  EXPECT_EQ(cut_into_words(3, 24, 20).word_count, 4u);
  EXPECT_EQ(cut_into_words(3, 25, 20).word_count, 0u);
}

}  // namespace
}  // namespace tintype
