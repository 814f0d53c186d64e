// The kernels' own functions, run on the host, against a copy and a CRC-32 of the host's.
#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "io/archive/crc32.h"
#include "kernels/gather_thread.h"
#include "tests/support/host_twins.h"

namespace tintype {
namespace {

constexpr std::byte kBorder{0xA5};
constexpr uint64_t kChunk = gather::kChunkBytes;

// Pieces with everything that a kernel needs to know of them.
class Batch {
 public:
  explicit Batch(uint64_t memory_bytes) : source_(memory_bytes), target_(memory_bytes, kBorder) {
    std::mt19937_64 random(memory_bytes);
    for (std::byte& byte : source_) byte = static_cast<std::byte>(random());
  }

  // REQUIRES: both ranges lie in the memory, and no target overlaps another.
  void add(uint64_t source_offset, uint64_t target_offset, uint64_t size_bytes) {
    pieces_.push_back({source_.data() + source_offset, target_.data() + target_offset, size_bytes});
    first_chunks_.push_back(first_chunks_.back() + gather::chunk_count(size_bytes));
  }

  PieceTable table() const {
    return {pieces_.data(), first_chunks_.data(), static_cast<uint32_t>(pieces_.size()),
            first_chunks_.back()};
  }

  // Exactly the pieces, and nothing beside them.
  void expect_gathered() {
    ByteVector expected(target_.size(), kBorder);
    for (const CopyPiece& piece : pieces_) {
      std::memcpy(expected.data() + (piece.target - target_.data()), piece.source,
                  piece.size_bytes);
    }
    gather_on_host(table());
    EXPECT_TRUE(target_ == expected);
  }

  void expect_crcs() const {
    std::vector<uint32_t> crcs(first_chunks_.back() + 1, 0xDEADBEEF);
    crc32_on_host(table(), crcs.data());
    for (size_t i = 0; i < pieces_.size(); ++i) {
      for (uint64_t chunk = first_chunks_[i]; chunk < first_chunks_[i + 1]; ++chunk) {
        const auto range = gather::chunk_of(pieces_[i].size_bytes, chunk - first_chunks_[i]);
        const ByteView bytes(pieces_[i].source + range.offset, range.size_bytes);
        ASSERT_EQ(crcs[chunk], crc32(0, bytes)) << i << ' ' << chunk;
      }
    }
    EXPECT_EQ(crcs.back(), 0xDEADBEEF);
  }

 private:
  ByteVector source_;
  ByteVector target_;
  std::vector<CopyPiece> pieces_;
  std::vector<uint64_t> first_chunks_ = {0};
};

TEST(HostTwins, edge_sizes_at_every_alignment) {
  constexpr std::array<uint64_t, 12> kSizes = {0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 100};
  Batch batch(1 << 20);
  uint64_t place = 0;
  for (const uint64_t size : kSizes) {
    for (uint64_t from = 0; from < 16; ++from) {
      for (uint64_t to = 0; to < 16; to += 3) {
        batch.add(place + from, place + to, size);
        place += 128;
      }
    }
  }
  batch.expect_gathered();
  batch.expect_crcs();
}

TEST(HostTwins, sizes_around_whole_rounds_of_threads_and_chunks) {
  constexpr uint64_t kRound = 16 * kGatherThreads;
  Batch batch(16 << 20);
  uint64_t place = 0;
  for (const uint64_t size : {kRound - 1, kRound, kRound + 1, 4 * kRound - 16, 4 * kRound,
                              4 * kRound + 16, kChunk - 1, kChunk, kChunk + 1, 5 * kChunk + 333}) {
    for (const uint64_t shift : {0u, 5u}) {
      batch.add(place + shift, place + shift, size);
      place += align_up(size + 16, 16);
    }
  }
  batch.expect_gathered();
  batch.expect_crcs();
}

TEST(HostTwins, thousands_of_small_pieces_beside_a_large_one) {
  std::mt19937_64 random(7);
  Batch batch(24 << 20);
  uint64_t place = 0;
  for (int i = 0; i < 5000; ++i) {
    const uint64_t size = random() % 2000;
    batch.add(place + random() % 16, place + random() % 16, size);
    place += size + 16;
    if (i != 2500) continue;
    batch.add(place + 4, place + 12, 40 * kChunk + 7);
    place += 41 * kChunk;
  }
  batch.expect_gathered();
  batch.expect_crcs();
}

TEST(HostTwins, random_pieces) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    std::mt19937_64 random(seed);
    Batch batch((2 << 20) + seed);
    uint64_t place = 0;
    while (place < (1 << 20)) {
      const uint64_t size = random() % (1 + (random() % 200'000));
      batch.add(place + random() % 64, place + random() % 64, size);
      place += size + 64;
    }
    batch.expect_gathered();
    batch.expect_crcs();
  }
}

}  // namespace
}  // namespace tintype
