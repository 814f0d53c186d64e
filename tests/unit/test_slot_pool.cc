#include <algorithm>
#include <atomic>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "engine/slot_pool.h"

namespace tintype {
namespace {

constexpr std::chrono::milliseconds kNoWait{0};

TEST(SlotPool, leases_are_distinct_and_page_aligned) {
  SlotPool pool(8192);
  ASSERT_TRUE(pool.grow_to(5).is_ok());
  std::vector<SlotLease> leases;
  std::set<std::byte*> addresses;
  while (auto lease = pool.lease(kNoWait)) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(lease->bytes().data()) % 4096, 0u);
    EXPECT_EQ(lease->bytes().size(), 8192u);
    addresses.insert(lease->bytes().data());
    leases.push_back(std::move(*lease));
  }
  EXPECT_EQ(addresses.size(), 5u);
}

TEST(SlotPool, slot_returned_last_is_leased_first) {
  SlotPool pool(4096);
  ASSERT_TRUE(pool.grow_to(4).is_ok());
  auto first = pool.lease(kNoWait);
  auto second = pool.lease(kNoWait);
  std::byte* const address = first->bytes().data();
  second.reset();
  first.reset();
  EXPECT_EQ(pool.lease(kNoWait)->bytes().data(), address);
}

TEST(SlotPool, growing_keeps_leased_slots_and_adds_new_ones) {
  SlotPool pool(4096);
  ASSERT_TRUE(pool.grow_to(1).is_ok());
  auto held = pool.lease(kNoWait);
  held->bytes()[0] = std::byte{42};
  EXPECT_FALSE(pool.lease(kNoWait).has_value());
  ASSERT_TRUE(pool.grow_to(3).is_ok());
  EXPECT_EQ(pool.slot_count(), 3u);
  auto another = pool.lease(kNoWait);
  ASSERT_TRUE(another.has_value());
  EXPECT_NE(another->bytes().data(), held->bytes().data());
  EXPECT_EQ(held->bytes()[0], std::byte{42});
}

TEST(SlotPool, region_counts_as_touched_once_each_slot_was_leased) {
  SlotPool pool(4096);
  ASSERT_TRUE(pool.grow_to(2).is_ok());
  EXPECT_TRUE(pool.touched_regions().empty());
  auto first = pool.lease(kNoWait);
  first.reset();
  first = pool.lease(kNoWait);  // the same slot again
  EXPECT_TRUE(pool.touched_regions().empty());
  auto second = pool.lease(kNoWait);
  EXPECT_EQ(pool.touched_regions().size(), 1u);
}

TEST(SlotPool, touching_all_makes_every_region_touched) {
  SlotPool pool(4096);
  ASSERT_TRUE(pool.grow_to(64).is_ok());
  pool.touch_all(2);
  ASSERT_EQ(pool.touched_regions().size(), 1u);
  EXPECT_EQ(pool.touched_regions()[0].size(), 64u * 4096);
}

TEST(SlotPool, touching_ends_when_it_is_told_to_and_goes_on_the_next_time) {
  SlotPool pool(4096);
  ASSERT_TRUE(pool.grow_to(64).is_ok());
  int asked = 0;
  pool.touch_all(1, [&] { return ++asked == 3; });
  EXPECT_EQ(asked, 3);
  EXPECT_TRUE(pool.touched_regions().empty());
  pool.touch_all(2);
  EXPECT_EQ(pool.touched_regions().size(), 1u);
  EXPECT_EQ(pool.free_bytes(), 64u * 4096);
}

TEST(SlotPool, two_slots_among_eight_threads_are_never_shared) {
  SlotPool pool(4096);
  ASSERT_TRUE(pool.grow_to(2).is_ok());
  std::atomic<int> leased{0};
  std::atomic<int> most{0};
  std::vector<std::jthread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) {
        auto lease = pool.lease(std::chrono::milliseconds(5000));
        ASSERT_TRUE(lease.has_value());
        most = std::max(most.load(), leased.fetch_add(1) + 1);
        leased.fetch_sub(1);
      }
    });
  }
  threads.clear();
  EXPECT_LE(most.load(), 2);
}

}  // namespace
}  // namespace tintype
