// CRC-32 by many threads against the one that the host computes in order.
#include <random>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/crc32_lanes.h"
#include "io/archive/crc32.h"

namespace tintype::crc32_lanes {
namespace {

constexpr Tables kTables = make_tables();

// Whole lanes, each thread adding up its own.
uint32_t crc_by_threads(uint32_t seed, const std::vector<uint32_t>& words) {
  const uint64_t lane_count = words.size() / kWords;
  std::vector<uint32_t> seeded = words;
  seeded[0] ^= ~seed;
  uint32_t crc_register = 0;
  for (uint64_t thread = 0; thread < kThreads && thread < lane_count; ++thread) {
    ThreadSum sum;
    uint64_t lane = thread;
    for (; lane < lane_count; lane += kThreads) sum.add_lane(kTables, &seeded[lane * kWords]);
    crc_register ^= sum.finish(kTables, lane_count - 1 - (lane - kThreads));
  }
  return ~crc_register;
}

std::vector<uint32_t> random_words(size_t count, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<uint32_t> words(count);
  for (uint32_t& word : words) word = static_cast<uint32_t>(random());
  return words;
}

TEST(Crc32Lanes, sum_of_all_threads_is_the_crc_whatever_the_number_of_lanes) {
  for (const size_t lanes : {1u, 2u, 3u, 15u, 255u, 256u, 257u, 511u, 512u, 513u, 4096u, 5000u}) {
    const auto words = random_words(lanes * kWords, static_cast<uint32_t>(lanes));
    EXPECT_EQ(crc_by_threads(0, words), crc32(0, std::as_bytes(std::span(words)))) << lanes;
  }
}

TEST(Crc32Lanes, what_came_before_the_lanes_is_in_the_first_one) {
  const auto words = random_words(777 * kWords, 5);
  const uint32_t before = crc32(0, as_bytes("some bytes before"));
  EXPECT_EQ(crc_by_threads(before, words), crc32(before, std::as_bytes(std::span(words))));
}

TEST(Crc32Lanes, single_bytes_move_the_register_as_the_reference_does) {
  uint32_t crc_register = ~0u;
  for (const char byte : std::string("123456789")) {
    crc_register = add_byte(kTables, crc_register, static_cast<uint8_t>(byte));
  }
  EXPECT_EQ(~crc_register, 0xCBF43926u);
}

}  // namespace
}  // namespace tintype::crc32_lanes
