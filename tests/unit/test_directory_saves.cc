// The checkpoint directory while saves are under way, when they fail, and when they come again.
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/directory/checkpoint_directory.h"
#include "tests/support/directory_fixture.h"

namespace tintype {
namespace {

using namespace testing_support;
using testing::HasSubstr;

TEST_F(CheckpointDirectoryTest, plans_see_the_saves_under_way) {
  open();
  EpochPlan first = plan("train", 1, .1);
  EpochPlan second = plan("train", 2, .2);
  EXPECT_TRUE(first.is_numbered);
  EXPECT_TRUE(first.is_best);
  EXPECT_FALSE(second.is_numbered) << "the first one is not published yet, but will be";
  EXPECT_FALSE(second.is_best);
  for (auto* one : {&first, &second}) {
    write_full(*one, one == &first ? .1 : .2);
    write_light(*one, one == &first ? .1 : .2);
    publish(*one);
  }
  EXPECT_EQ(shown_by("best"), "train.1");
  EXPECT_EQ(shown_by("last"), "train.2");
}

TEST_F(CheckpointDirectoryTest, an_epoch_earns_the_place_of_one_that_failed) {
  open();
  EpochPlan first = plan("train", 1, .1);
  EpochPlan second = plan("train", 2, .2);
  ASSERT_FALSE(second.is_numbered);
  first.publisher.reset();  // failed before anything was durable
  write_full(second, .2);
  write_light(second, .2);
  publish(second);
  EXPECT_EQ(shown_by("best"), "train.2");
  EXPECT_EQ(shown_by("last"), "train.2");
  EXPECT_EQ(shown_by("train.2"), "train.2");
  EXPECT_EQ(names().size(), 7u);
}

TEST_F(CheckpointDirectoryTest, a_failed_save_changes_no_selection) {
  options_.save_n_best = 1;
  open();
  save("train", 1, .5);
  plan("train", 2, .1).publisher.reset();
  EXPECT_EQ(shown_by("best"), "train.1");
  save("train", 3, .4);
  EXPECT_EQ(shown_by("best"), "train.3");
  EXPECT_EQ(names().size(), 7u);
}

TEST_F(CheckpointDirectoryTest, a_half_written_pair_goes_with_the_next_save) {
  options_.save_n_best = 2;
  open();
  save("train", 1, .5);
  EpochPlan half = plan("train", 2, .1);
  write_full(half, .1);
  half.publisher.reset();
  EXPECT_TRUE(names().contains("train.2_full.pth"));
  save("train", 3, .4);
  EXPECT_FALSE(names().contains("train.2_full.pth"));
  EXPECT_TRUE(names().contains("train.1_full.pth"));
  EXPECT_EQ(shown_by("best"), "train.3");
}

TEST_F(CheckpointDirectoryTest, a_failed_save_over_a_foreign_file_leaves_it_alone) {
  open();
  std::ofstream(folder_ + "/train.2_full.pth") << "somebody's";
  plan("train", 2, .1).publisher.reset();
  save("train", 3, .05);
  EXPECT_EQ(read(folder_ + "/train.2_full.pth"), "somebody's");
}

TEST_F(CheckpointDirectoryTest, a_repeated_epoch_takes_the_place_of_the_earlier) {
  options_.save_n_best = 2;
  open();
  save("train", 1, .5);
  save("train", 2, .1);
  save("train", 2, .3);
  EXPECT_EQ(directory_->entries().size(), 2u);
  EXPECT_EQ(directory_->entries()[0].score, .3);
  EXPECT_EQ(shown_by("train.2"), "train.2");
  EXPECT_EQ(metrics()["train.2"]["loss"], .3);
  EXPECT_THAT(read(folder_ + "/best_full.pth"), HasSubstr("train 2 0.1"))
      << "the best weights ever";
}

}  // namespace
}  // namespace tintype
