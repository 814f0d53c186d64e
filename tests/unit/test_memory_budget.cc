#include <cstdlib>

#include <gtest/gtest.h>

#include "engine/memory_budget.h"

namespace tintype {
namespace {

constexpr uint64_t kMiB = 1ull << 20;

TEST(MemoryBudget, pool_is_a_quarter_larger_than_the_state_within_its_bounds) {
  EXPECT_EQ(staging_bytes_for(1000 * kMiB, 8000 * kMiB), 1250 * kMiB);
  EXPECT_EQ(staging_bytes_for(1 * kMiB, 8000 * kMiB), 256 * kMiB);
  EXPECT_EQ(staging_bytes_for(1000 * kMiB, 600 * kMiB), 600 * kMiB);
  EXPECT_EQ(staging_bytes_for(1 * kMiB, 100 * kMiB), 100 * kMiB);
}

TEST(MemoryBudget, local_ranks_share_the_budget) {
  const uint64_t alone = staging_budget_bytes();
  ASSERT_GT(alone, 0u);
  ::setenv("LOCAL_WORLD_SIZE", "4", 1);
  const uint64_t shared = staging_budget_bytes();
  ::unsetenv("LOCAL_WORLD_SIZE");
  EXPECT_LT(shared, alone / 3);
  EXPECT_GT(shared, alone / 5);
}

}  // namespace
}  // namespace tintype
