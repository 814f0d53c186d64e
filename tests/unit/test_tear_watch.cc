// Probes: where they lie, and which changes they see.
#include <numeric>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/device/host_device.h"
#include "engine/tear_watch.h"

namespace tintype {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr uint64_t kMiB = 1ull << 20;

class SilentWitness final : public MutationWitness {
 public:
  std::vector<uint32_t> changed() override { return {}; }
};

class Probes : public testing::Test {
 protected:
  Probes() {
    for (const uint64_t size : {3 * kMiB + 100, uint64_t{70}, uint64_t{4}, uint64_t{0}}) {
      memory_.emplace_back(size, std::byte{1});
    }
    for (ByteVector& bytes : memory_) {
      storages_.push_back({.address = bytes.data(), .size_bytes = bytes.size(), .is_lazy = true});
    }
    storages_.push_back({.address = memory_[0].data(), .size_bytes = 100});  // eager
  }

  std::vector<CopyPiece> probe(uint64_t seed) {
    watch_ = std::make_unique<TearWatch>(std::make_unique<SilentWitness>());
    const SourcePieces pieces = watch_->probe(storages_, seed);
    EXPECT_TRUE(host_device().copy(pieces.host, nullptr).is_ok());
    return pieces.host;
  }

  // Stages storage 0 in two segments that are cut at `border`.
  void stage_in_two(uint64_t border) {
    const uint64_t size = memory_[0].size();
    for (const auto& [from, to] : {std::pair(uint64_t{0}, border), std::pair(border, size)}) {
      const Segment segment{.source = Segment::Source::storage,
                            .index = 0,
                            .source_offset = from,
                            .extent_offset = 0,
                            .size_bytes = to - from};
      watch_->compare_staged(std::span(&segment, 1), ByteView(memory_[0]).subspan(from, to - from));
    }
  }

  std::vector<ByteVector> memory_;
  std::vector<SourceStorage> storages_;
  std::unique_ptr<TearWatch> watch_;
};

TEST_F(Probes, each_mebibyte_of_each_lazy_storage_has_one) {
  const auto pieces = probe(1);
  ASSERT_EQ(pieces.size(), 6u);
  for (uint64_t i = 0; i < 4; ++i) {
    const auto offset = static_cast<uint64_t>(pieces[i].source - memory_[0].data());
    EXPECT_EQ(pieces[i].size_bytes, 64u);
    EXPECT_GE(offset, i * kMiB);
    EXPECT_LE(offset + 64, std::min((i + 1) * kMiB, memory_[0].size()));
  }
  EXPECT_EQ(pieces[4].size_bytes, 64u);
  EXPECT_EQ(pieces[5].size_bytes, 4u);
}

TEST_F(Probes, each_save_probes_other_places) {
  std::set<const std::byte*> places;
  for (uint64_t seed = 0; seed < 100; ++seed) {
    TearWatch watch(std::make_unique<SilentWitness>());
    places.insert(watch.probe(storages_, seed).host[0].source);
  }
  EXPECT_GE(places.size(), 95u);
}

TEST_F(Probes, changed_byte_under_any_part_of_a_probe_is_seen_at_any_extent_border) {
  for (const uint64_t border_shift : {0u, 1u, 2u, 64u, 65u}) {
    for (const uint64_t place_shift : {0u, 31u, 63u}) {
      const auto offset = static_cast<uint64_t>(probe(2)[1].source - memory_[0].data());
      stage_in_two(offset + border_shift - 1);
      ASSERT_THAT(watch_->torn(), IsEmpty());
      memory_[0][offset + place_shift] = std::byte{2};
      stage_in_two(offset + border_shift - 1);
      EXPECT_THAT(watch_->torn(), ElementsAre(0)) << border_shift << " " << place_shift;
      memory_[0][offset + place_shift] = std::byte{1};
    }
  }
}

TEST_F(Probes, second_reading_sees_what_changed_behind_the_copy) {
  probe(3);
  memory_[2][3] = std::byte{9};
  const SourcePieces again = watch_->probe_again(storages_);
  ASSERT_TRUE(host_device().copy(again.host, nullptr).is_ok());
  watch_->compare_readings();
  EXPECT_THAT(watch_->torn(), ElementsAre(2));
}

}  // namespace
}  // namespace tintype
