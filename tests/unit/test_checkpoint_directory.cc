// The checkpoint directory on a real file system: names, links, metrics file, eviction, refusals.
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/directory/checkpoint_directory.h"
#include "tests/support/directory_fixture.h"

namespace tintype {
namespace {

using namespace testing_support;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

TEST_F(CheckpointDirectoryTest, a_run_leaves_top_k_best_and_last_in_both_forms) {
  options_.save_n_best = 2;
  open();
  const double losses[] = {.5, .4, .3, .2, .1};
  for (uint64_t epoch = 1; epoch <= 5; ++epoch) save("train", epoch, losses[epoch - 1]);
  EXPECT_THAT(names(), UnorderedElementsAre("train.4.pth", "train.4_full.pth", "train.5.pth",
                                            "train.5_full.pth", "best.pth", "best_full.pth",
                                            "last.pth", "last_full.pth", "_metrics.json"));
  EXPECT_EQ(shown_by("best"), "train.5");
  EXPECT_EQ(shown_by("last"), "train.5");
}

TEST_F(CheckpointDirectoryTest, best_last_and_the_numbered_file_are_one_on_disk) {
  open();
  save("train", 1, .5);
  const auto numbered = std::filesystem::path(folder_) / "train.1_full.pth";
  if (std::filesystem::hard_link_count(numbered) == 1) GTEST_SKIP() << "this disk shares blocks";
  EXPECT_TRUE(std::filesystem::equivalent(numbered, folder_ + "/best_full.pth"));
  EXPECT_TRUE(std::filesystem::equivalent(numbered, folder_ + "/last_full.pth"));
  EXPECT_TRUE(std::filesystem::equivalent(folder_ + "/train.1.pth", folder_ + "/last.pth"));
}

TEST_F(CheckpointDirectoryTest, evicting_train_1_does_not_touch_train_10) {
  options_.save_n_best = 3;
  open();
  const double losses[] = {.5, .9, .9, .9, .9, .9, .9, .9, .9, .1, .2, .3};
  for (uint64_t epoch = 1; epoch <= 12; ++epoch) save("train", epoch, losses[epoch - 1]);
  EXPECT_THAT(names(), UnorderedElementsAre("train.10.pth", "train.10_full.pth", "train.11.pth",
                                            "train.11_full.pth", "train.12.pth",
                                            "train.12_full.pth", "best.pth", "best_full.pth",
                                            "last.pth", "last_full.pth", "_metrics.json"));
  EXPECT_EQ(shown_by("train.10"), "train.10");
  EXPECT_EQ(shown_by("best"), "train.10");
}

TEST_F(CheckpointDirectoryTest, an_epoch_outside_of_the_top_is_written_as_last_only) {
  options_.save_n_best = 1;
  open();
  save("train", 1, .1);
  EpochPlan worse = plan("train", 2, .2);
  EXPECT_FALSE(worse.is_numbered);
  EXPECT_FALSE(worse.is_best);
  EXPECT_EQ(worse.full_path, folder_ + "/last_full.pth");
  EXPECT_EQ(worse.light_path, folder_ + "/last.pth");
  write_full(worse, .2);
  write_light(worse, .2);
  publish(worse);
  EXPECT_EQ(shown_by("last"), "train.2");
  EXPECT_EQ(shown_by("best"), "train.1");
  EXPECT_EQ(shown_by("train.1"), "train.1");
  EXPECT_EQ(names().size(), 7u);
}

TEST_F(CheckpointDirectoryTest, zero_kept_still_has_best_and_last) {
  options_.save_n_best = 0;
  open();
  save("train", 1, .3);
  save("train", 2, .1);
  save("train", 3, .2);
  EXPECT_THAT(names(), UnorderedElementsAre("best.pth", "best_full.pth", "last.pth",
                                            "last_full.pth", "_metrics.json"));
  EXPECT_EQ(shown_by("best"), "train.2");
  EXPECT_EQ(shown_by("last"), "train.3");
  EXPECT_THAT(directory_->entries(), IsEmpty());
}

TEST_F(CheckpointDirectoryTest, every_stage_keeps_its_own_and_all_share_best_and_last) {
  options_.save_n_best = 3;
  open();
  for (const char* stage : {"stage1", "stage2", "stage3"}) {
    for (uint64_t epoch = 1; epoch <= 5; ++epoch) {
      save(stage, epoch, (stage == std::string("stage2") ? 0.1 : 0.5) / double(epoch));
    }
  }
  EXPECT_EQ(names().size(), 23u);
  EXPECT_EQ(shown_by("best"), "stage2.5") << "a later stage does not start its best anew";
  EXPECT_EQ(shown_by("last"), "stage3.5");
}

TEST_F(CheckpointDirectoryTest, file_counts_are_those_of_catalyst) {
  const struct {
    uint32_t kept;
    int stages;
    size_t files;
  } cases[] = {{1, 1, 7}, {1, 3, 11}, {3, 1, 11}, {3, 3, 23},
               {0, 1, 5}, {0, 3, 5},  {1, 2, 9},  {3, 2, 17}};
  for (const auto& one : cases) {
    directory_.reset();
    std::filesystem::remove_all(folder_);
    options_.save_n_best = one.kept;
    open();
    for (int stage = 1; stage <= one.stages; ++stage) {
      for (uint64_t epoch = 1; epoch <= 5; ++epoch) {
        save("stage" + std::to_string(stage), epoch, 1.0 / double(epoch));
      }
    }
    EXPECT_EQ(names().size(), one.files) << one.kept << " kept, " << one.stages << " stages";
  }
}

TEST_F(CheckpointDirectoryTest, the_metrics_file_lists_best_last_and_the_kept_best_first) {
  options_.save_n_best = 2;
  open();
  EXPECT_EQ(read(folder_ + "/_metrics.json"), "{}\n");
  save("train", 1, .3);
  save("train", 2, .1);
  save("train", 3, kNan);
  std::vector<std::string> keys;
  const auto json = metrics();
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  EXPECT_THAT(keys, ElementsAre("best", "last", "train.2", "train.1"));
  EXPECT_EQ(json["best"]["loss"], .1);
  EXPECT_TRUE(json["last"]["loss"].is_null());
}

TEST_F(CheckpointDirectoryTest, all_nan_has_best_and_last) {
  open();
  save("train", 1, kNan);
  save("train", 2, kNan);
  EXPECT_EQ(shown_by("best"), "train.1");
  EXPECT_EQ(shown_by("last"), "train.2");
  save("train", 3, std::numeric_limits<double>::infinity());
  EXPECT_EQ(shown_by("best"), "train.3") << "any number is better than none";
}

TEST_F(CheckpointDirectoryTest, bad_epochs_are_refused_with_the_reason) {
  open();
  EXPECT_EQ(directory_->plan_epoch("a/b", 1, {{"loss", 1}}).status().code(),
            StatusCode::invalid_argument);
  EXPECT_EQ(directory_->plan_epoch("train", 0, {{"loss", 1}}).status().code(),
            StatusCode::invalid_argument);
  const Status status = directory_->plan_epoch("train", 1, {{"acc", 1}, {"f1", 2}}).status();
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_THAT(status.to_string(), HasSubstr("'loss' is not among the metrics (acc, f1)"));
  EXPECT_EQ(names().size(), 1u) << "nothing was written";
}

TEST_F(CheckpointDirectoryTest, bad_options_are_refused_before_anything_is_made) {
  options_.metrics_filename = "_metrics.yml";
  EXPECT_EQ(try_open(false).code(), StatusCode::invalid_argument);
  options_.metrics_filename = "_metrics.json";
  options_.logdir = "";
  EXPECT_EQ(try_open(false).code(), StatusCode::invalid_argument);
  EXPECT_FALSE(std::filesystem::exists(folder_));
}

TEST_F(CheckpointDirectoryTest, a_loser_that_somebody_replaced_is_not_deleted) {
  options_.save_n_best = 1;
  open();
  save("train", 1, .3);
  std::filesystem::remove(folder_ + "/train.1_full.pth");
  std::ofstream(folder_ + "/train.1_full.pth") << "somebody's";
  save("train", 2, .1);
  EXPECT_EQ(read(folder_ + "/train.1_full.pth"), "somebody's");
  EXPECT_FALSE(names().contains("train.1.pth"));
}

TEST_F(CheckpointDirectoryTest, a_relative_logdir_is_fixed_at_the_call) {
  const auto here = std::filesystem::current_path();
  std::filesystem::current_path(logdir_);
  options_.logdir = "run/";
  open();
  std::filesystem::current_path("/");
  save("train", 1, .1);
  std::filesystem::current_path(here);
  EXPECT_TRUE(std::filesystem::exists(logdir_ + "/run/checkpoints/train.1_full.pth"));
  EXPECT_EQ(directory_->path(), logdir_ + "/run/checkpoints");
}

}  // namespace
}  // namespace tintype
