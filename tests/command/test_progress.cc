// The line that shows how far a long piece of work is.
#include <gtest/gtest.h>

#include "tools/command/progress.h"

namespace tintype::command {
namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;

TEST(Progress, shows_share_rate_and_time_left) {
  EXPECT_EQ(progress_text("x.pth", 300 * kMib, 1200 * kMib, 2),
            "x.pth: 25 %, 150 MiB/s, 0:06 left");
  EXPECT_EQ(progress_text("x", 100 * kMib, 724'100 * kMib, 1), "x: 0 %, 100 MiB/s, 2:00:40 left");
}

TEST(Progress, without_a_total_shows_what_was_done) {
  EXPECT_EQ(progress_text("pipe", 512 * kMib, 0, 4), "pipe: 512 MiB, 128 MiB/s");
}

TEST(Progress, says_nothing_of_rates_before_it_knows_any) {
  EXPECT_EQ(progress_text("x", kMib, 2 * kMib, .1), "x: 50 %");
  EXPECT_EQ(progress_text("x", 0, 2 * kMib, 9), "x: 0 %");
}

TEST(Progress, never_shows_more_than_all_nor_less_than_no_time) {
  EXPECT_EQ(progress_text("x", 3 * kMib, 2 * kMib, 1), "x: 100 %, 3 MiB/s, 0:00 left");
}

}  // namespace
}  // namespace tintype::command
