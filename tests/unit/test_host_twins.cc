// The kernels' own functions, run on the host, against a copy, a CRC-32 and a split of the host's.
#include <algorithm>
#include <array>
#include <cstring>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "base/bytes.h"
#include "io/archive/byte_planes.h"
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

  // Elements `first` to `first + count` of a run that begins at `run_offset` of the target.
  // REQUIRES: as for add(); the source's offset is a multiple of the width.
  void add_split(uint64_t source_offset, uint64_t run_offset, uint64_t first, uint64_t count,
                 const PlaneSplit& planes) {
    add(source_offset, run_offset + first, count * planes.width);
    pieces_.back().planes = planes;
  }

  PieceTable table() const {
    return {pieces_.data(), first_chunks_.data(), static_cast<uint32_t>(pieces_.size()),
            first_chunks_.back()};
  }

  // Exactly the pieces, and nothing beside them.
  void expect_gathered() {
    ByteVector expected(target_.size(), kBorder);
    for (const CopyPiece& piece : pieces_) {
      place(piece, expected.data() + (piece.target - target_.data()));
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
  static void place(const CopyPiece& piece, std::byte* target) {
    if (piece.size_bytes == 0) return;
    std::vector<std::byte*> planes;
    for (uint32_t b = 0; b < piece.planes.width; ++b) {
      planes.push_back(target + plane_index(0, b, piece.planes.plane_bytes));
    }
    split_planes({piece.source, piece.size_bytes}, piece.planes.is_rotated, planes);
  }

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

constexpr std::array<uint32_t, 4> kWidths = {1, 2, 4, 8};

TEST(HostTwins, elements_go_to_the_planes_of_their_run_at_every_size_and_alignment) {
  constexpr std::array<uint64_t, 10> kCounts = {0, 1, 2, 3, 4, 5, 7, 1024, 1027, 9001};
  for (const uint32_t width : kWidths) {
    Batch batch(8 << 20);
    uint64_t place = 0;
    for (const uint64_t count : kCounts) {
      for (uint64_t shift = 0; shift < 5; ++shift) {
        for (uint64_t spare = 0; spare < 5; ++spare) {  // elements of the run that are not copied
          const bool is_rotated = width > 1 && (shift + spare) % 2 == 0;
          const PlaneSplit planes{width, is_rotated, count + spare};
          batch.add_split(place, place + shift, spare / 2, count, planes);
          place = align_up(place + (count + spare) * width + shift, 64);
        }
      }
    }
    batch.expect_gathered();
    batch.expect_crcs();
  }
}

TEST(HostTwins, runs_of_several_pieces_with_other_elements_between_them_come_out_whole) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 24; ++round) {
    const uint32_t width = kWidths[random() % kWidths.size()];
    const uint64_t count =
        (64 << 10) + random() % 4 * 1000 + (random() % 3 == 0 ? random() % 7 : 0);
    const PlaneSplit planes{width, width > 1 && random() % 2 == 0, count};
    Batch batch(2 << 20);
    const uint64_t run_offset = random() % 200;
    for (uint64_t first = random() % 10; first < count;) {
      const uint64_t longest = random() % 3 == 0 ? count : 300;
      const uint64_t part = std::min(count - first, 1 + random() % longest);
      batch.add_split(first * width, run_offset, first, part, planes);
      first += part + random() % 20;
    }
    batch.expect_gathered();
    batch.expect_crcs();
  }
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
