// The arithmetic of the gather kernel: every byte of every piece is some thread's, and no other's.
#include <algorithm>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/gather_index.h"

namespace tintype::gather {
namespace {

constexpr uint64_t kGibibyte = 1ull << 30;

std::vector<uint64_t> first_chunks_of(const std::vector<uint64_t>& sizes) {
  std::vector<uint64_t> first = {0};
  for (const uint64_t size : sizes) first.push_back(first.back() + chunk_count(size));
  return first;
}

// How often each byte of a chunk is taken, by a block of `thread_count` threads.
std::vector<int> taken_bytes(const Lanes& lanes, uint64_t size_bytes, uint32_t thread_count) {
  std::vector<int> taken(size_bytes);
  const uint64_t lanes_end = lanes.head_bytes + lanes.lane_count * lanes.lane_bytes;
  for (uint32_t thread = 0; thread < thread_count; ++thread) {
    if (thread < lanes.head_bytes) ++taken.at(thread);
    if (thread < lanes.tail_bytes) ++taken.at(lanes_end + thread);
    for (uint64_t i = 0; i < lanes_of_thread(lanes.lane_count, thread, thread_count); ++i) {
      const uint64_t lane = thread + i * thread_count;
      for (uint32_t b = 0; b < lanes.lane_bytes; ++b) {
        ++taken.at(lanes.head_bytes + lane * lanes.lane_bytes + b);
      }
    }
  }
  return taken;
}

TEST(GatherIndex, a_threads_bytes_are_no_other_threads_and_none_is_left_out) {
  for (const uint64_t size : {0, 1, 2, 15, 16, 17, 31, 33, 255, 4096, 4097, 65536}) {
    for (uint64_t source = 0; source < 32; source += 3) {
      for (uint64_t target = 0; target < 16; ++target) {
        const Lanes lanes = split_into_lanes(4096 + source, 8192 + target, size);
        for (const int count : taken_bytes(lanes, size, 32)) ASSERT_EQ(count, 1);
      }
    }
  }
}

TEST(GatherIndex, lanes_lie_aligned_at_both_ends_and_are_as_wide_as_that_allows) {
  for (uint64_t source = 0; source < 64; ++source) {
    for (uint64_t target = 0; target < 64; ++target) {
      const Lanes lanes = split_into_lanes(source, target, 1000);
      EXPECT_EQ((source + lanes.head_bytes) % lanes.lane_bytes, 0u);
      EXPECT_EQ((target + lanes.head_bytes) % lanes.lane_bytes, 0u);
      EXPECT_LT(lanes.head_bytes, lanes.lane_bytes);
      EXPECT_LT(lanes.tail_bytes, lanes.lane_bytes);
      const bool fits_wider = (source - target) % (2 * lanes.lane_bytes) == 0;
      EXPECT_TRUE(lanes.lane_bytes == kLaneBytesMax || !fits_wider);
    }
  }
}

TEST(GatherIndex, equal_alignment_gives_lanes_of_16_bytes) {
  const Lanes lanes = split_into_lanes(0x7000'0005, 0x9'0000'0015, 100);
  EXPECT_EQ(lanes.lane_bytes, 16u);
  EXPECT_EQ(lanes.head_bytes, 11u);
  EXPECT_EQ(lanes.lane_count, 5u);
  EXPECT_EQ(lanes.tail_bytes, 9u);
}

TEST(GatherIndex, chunks_of_a_piece_follow_each_other_to_its_end) {
  for (const uint64_t size : {uint64_t{1}, kChunkBytes - 1, kChunkBytes, kChunkBytes + 1,
                              5 * kChunkBytes + 17, 7 * kGibibyte + 3}) {
    const uint64_t count = chunk_count(size);
    uint64_t end = 0;
    for (uint64_t i = 0; i<count; i += count> 1000 ? count - 1 : 1) {
      const Chunk chunk = chunk_of(size, i);
      EXPECT_EQ(chunk.offset, i * kChunkBytes);
      EXPECT_LE(chunk.size_bytes, kChunkBytes);
      EXPECT_GT(chunk.size_bytes, 0u);
      end = chunk.offset + chunk.size_bytes;
    }
    EXPECT_EQ(end, size);
  }
  EXPECT_EQ(chunk_count(0), 0u);
}

TEST(GatherIndex, offsets_past_4_gib_keep_all_their_bits) {
  const uint64_t size = 300 * kGibibyte + 5;
  const uint64_t last = chunk_count(size) - 1;
  EXPECT_EQ(chunk_of(size, last).offset, 300 * kGibibyte);
  EXPECT_EQ(chunk_of(size, last).size_bytes, 5u);
  const Lanes lanes = split_into_lanes(0, 0, size);
  EXPECT_EQ(lanes.lane_count, size / 16);
  EXPECT_EQ(lanes_of_thread(lanes.lane_count, 255, 256), size / 16 / 256);
}

TEST(GatherIndex, every_chunk_finds_its_piece_among_thousands_with_empty_ones) {
  std::mt19937_64 random(1);
  std::vector<uint64_t> sizes;
  for (int i = 0; i < 5000; ++i) {
    const uint64_t kind = random() % 4;
    sizes.push_back(kind == 0 ? 0 : kind == 1 ? random() % 64 : random() % (4 * kChunkBytes));
  }
  sizes.push_back(6 * kGibibyte);
  sizes.push_back(0);
  const auto first = first_chunks_of(sizes);
  const auto count = static_cast<uint32_t>(sizes.size());
  for (uint64_t chunk = 0; chunk < first.back(); chunk += chunk < 20'000 ? 1 : 97) {
    const uint32_t piece = piece_of(first.data(), count, chunk);
    ASSERT_LE(first[piece], chunk);
    ASSERT_GT(first[piece + 1], chunk);
    ASSERT_LT(chunk - first[piece], chunk_count(sizes[piece]));
  }
}

TEST(GatherIndex, a_single_piece_is_found) {
  const std::vector<uint64_t> first = {0, 3};
  for (uint64_t chunk = 0; chunk < 3; ++chunk) EXPECT_EQ(piece_of(first.data(), 1, chunk), 0u);
}

}  // namespace
}  // namespace tintype::gather
