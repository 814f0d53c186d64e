#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/directory/retention.h"

namespace tintype {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

CheckpointEntry entry(uint64_t sequence, double score, const std::string& stage = "train") {
  CheckpointEntry made;
  made.stage = stage;
  made.epoch = sequence;
  made.stem = stage + "." + std::to_string(sequence);
  made.sequence = sequence;
  made.score = score;
  return made;
}

struct History {
  std::vector<std::string> kept;
  uint64_t best = 0;
};

// Feeds the scores one by one, as a run does.
History run(const std::vector<double>& scores, const RetentionRule& rule) {
  std::vector<CheckpointEntry> kept;
  std::optional<CheckpointEntry> best;
  for (size_t i = 0; i < scores.size(); ++i) {
    const CheckpointEntry added = entry(i + 1, scores[i]);
    kept.push_back(added);
    kept = select_kept(std::move(kept), rule).kept;
    if (is_new_best(best, added, rule)) best = added;
  }
  History history;
  for (const CheckpointEntry& one : kept) history.kept.push_back(one.stem);
  history.best = best.has_value() ? best->sequence : 0;
  return history;
}

TEST(Retention, ties_keep_the_older_in_both_directions) {
  for (const bool is_minimized : {true, false}) {
    const History history =
        run({.5, .5, .5, .5}, {.save_n_best = 2, .is_metric_minimized = is_minimized});
    EXPECT_THAT(history.kept, ElementsAre("train.1", "train.2"));
    EXPECT_EQ(history.best, 1u);
  }
}

TEST(Retention, a_worsening_run_keeps_its_first_epochs) {
  const History history = run({.1, .2, .3, .4}, {.save_n_best = 2});
  EXPECT_THAT(history.kept, ElementsAre("train.1", "train.2"));
  EXPECT_EQ(history.best, 1u);
}

TEST(Retention, nan_is_worst_in_both_directions) {
  const History smallest = run({kNan, .2, .1, kNan, .3}, {.save_n_best = 2});
  EXPECT_THAT(smallest.kept, ElementsAre("train.3", "train.2"));
  EXPECT_EQ(smallest.best, 3u);
  const History largest =
      run({kNan, .2, .1, kNan, .3}, {.save_n_best = 2, .is_metric_minimized = false});
  EXPECT_THAT(largest.kept, ElementsAre("train.5", "train.2"));
  EXPECT_EQ(largest.best, 5u);
}

TEST(Retention, nan_is_worse_than_the_worst_infinity) {
  EXPECT_EQ(run({kNan, kInfinity}, {.save_n_best = 1}).best, 2u);
  EXPECT_EQ(run({kNan, -kInfinity}, {.save_n_best = 1, .is_metric_minimized = false}).best, 2u);
}

TEST(Retention, a_run_of_nans_has_a_best) {
  const History history = run({kNan, kNan, kNan}, {.save_n_best = 2});
  EXPECT_EQ(history.best, 1u);
  EXPECT_THAT(history.kept, ElementsAre("train.1", "train.2"));
}

TEST(Retention, metric_zero_is_a_number_like_any_other) {
  EXPECT_EQ(run({.1, 0.0, .2}, {.save_n_best = 1}).best, 2u);
  EXPECT_EQ(run({-.1, 0.0, -.2}, {.save_n_best = 1, .is_metric_minimized = false}).best, 2u);
  EXPECT_EQ(run({0.0, -0.0}, {.save_n_best = 1}).best, 1u) << "equal, so the older one";
}

TEST(Retention, the_best_of_a_run_is_always_kept) {
  for (const bool is_minimized : {true, false}) {
    const RetentionRule rule{.save_n_best = 1, .is_metric_minimized = is_minimized};
    const History history = run({3, kNan, 1, kInfinity, 1, -kInfinity, 5, kNan}, rule);
    EXPECT_THAT(history.kept, ElementsAre("train." + std::to_string(history.best)));
  }
}

TEST(Retention, zero_keeps_none_and_still_has_a_best) {
  const History history = run({.3, .1, .2}, {.save_n_best = 0});
  EXPECT_THAT(history.kept, IsEmpty());
  EXPECT_EQ(history.best, 2u);
}

TEST(Retention, every_stage_has_its_own_places_and_all_share_one_best) {
  const RetentionRule rule{.save_n_best = 2};
  const Selection selection =
      select_kept({entry(1, .3, "stage1"), entry(2, .2, "stage1"), entry(3, .1, "stage1"),
                   entry(4, .9, "stage2"), entry(5, .8, "stage2"), entry(6, .15, "stage2")},
                  rule);
  std::vector<std::string> kept;
  for (const CheckpointEntry& one : selection.kept) kept.push_back(one.stem);
  EXPECT_THAT(kept, ElementsAre("stage1.3", "stage2.6", "stage1.2", "stage2.5"));
  EXPECT_FALSE(is_new_best(entry(3, .1, "stage1"), entry(4, .9, "stage2"), rule));
  EXPECT_TRUE(is_new_best(entry(3, .1, "stage1"), entry(4, .05, "stage2"), rule));
}

TEST(Retention, a_repeated_epoch_replaces_the_earlier_one_even_when_it_is_worse) {
  CheckpointEntry repeated = entry(4, .9);
  repeated.epoch = 2;
  repeated.stem = "train.2";
  const Selection selection =
      select_kept({entry(1, .3), entry(2, .1), repeated}, {.save_n_best = 2});
  ASSERT_EQ(selection.kept.size(), 2u);
  EXPECT_EQ(selection.kept[0].stem, "train.1");
  EXPECT_EQ(selection.kept[1].sequence, 4u);
  EXPECT_THAT(selection.evicted, IsEmpty()) << "its file is the kept one's";
}

TEST(Retention, the_order_is_total_and_strict) {
  const std::vector<CheckpointEntry> all = {entry(1, kNan), entry(2, kNan),
                                            entry(3, 0.0),  entry(4, -kInfinity),
                                            entry(5, 0.0),  entry(6, kInfinity)};
  for (const bool is_minimized : {true, false}) {
    const RetentionRule rule{.is_metric_minimized = is_minimized};
    for (const auto& a : all) {
      EXPECT_FALSE(ranks_before(a, a, rule));
      for (const auto& b : all) {
        EXPECT_EQ(a.sequence != b.sequence, ranks_before(a, b, rule) != ranks_before(b, a, rule));
      }
    }
  }
}

}  // namespace
}  // namespace tintype
