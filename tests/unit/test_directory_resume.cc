// Resuming a checkpoint directory: from which file, with what kept, at which epoch of each stage.
#include <filesystem>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/directory/checkpoint_directory.h"
#include "io/disk/atomic_file.h"
#include "io/disk/file_system.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/directory_fixture.h"

namespace tintype {
namespace {

using namespace testing_support;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(CheckpointDirectoryTest, resume_goes_on_where_the_run_was) {
  options_.save_n_best = 2;
  open();
  const std::string run_id = directory_->run_id();
  save("train", 1, .3);
  save("train", 2, .1);
  save("train", 3, .2);
  const auto before = names();
  open(true);
  EXPECT_EQ(directory_->run_id(), run_id);
  EXPECT_FALSE(directory_->has_foreign_run());
  EXPECT_THAT(directory_->notes(), IsEmpty());
  EXPECT_EQ(names(), before);
  const auto point = directory_->find_resume_point("last");
  ASSERT_TRUE(point.is_ok()) << point.status().to_string();
  EXPECT_EQ(point->path, folder_ + "/last_full.pth");
  EXPECT_EQ(point->epoch, 3u);
  ASSERT_TRUE(directory_->resumed_from(*point).is_ok());
  EXPECT_EQ(directory_->first_epoch("train"), 4u);
  EXPECT_EQ(directory_->first_epoch("other"), 1u);
  save("train", 4, .4);
  EXPECT_EQ(shown_by("best"), "train.2") << "the best is not forgotten";
  EXPECT_EQ(directory_->entries().size(), 2u);
}

TEST_F(CheckpointDirectoryTest, a_run_keeps_its_form) {
  options_.form = {.form = FileForm::planes};
  open();
  save("train", 1, .2);
  save("train", 2, .1);
  const std::set<std::string> expected = {
      "_metrics.json",     "best.pth.ttz",    "best_full.pth.ttz",   "last.pth.ttz",
      "last_full.pth.ttz", "train.2.pth.ttz", "train.2_full.pth.ttz"};
  EXPECT_EQ(names(), expected);
  open(true);
  EXPECT_THAT(directory_->notes(), IsEmpty());
  resume("last");
  save("train", 3, .3);
  EXPECT_EQ(names(), expected);
  for (const FileForm form : {FileForm::plain, FileForm::zstd}) {
    options_.form = {.form = form};
    const Status refused = try_open(true);
    EXPECT_EQ(refused.code(), StatusCode::invalid_argument);
    EXPECT_THAT(refused.to_string(), HasSubstr(".pth.ttz"));
    EXPECT_EQ(names(), expected);
  }
  open(false);
  EXPECT_TRUE(directory_->has_foreign_run()) << "a new run may have another";
}

TEST_F(CheckpointDirectoryTest, a_new_run_takes_the_place_of_best_and_last_of_another_form) {
  options_.form = {.form = FileForm::planes};
  open();
  save("train", 1, .2);
  options_.form = {};
  open();
  EXPECT_TRUE(names().contains("best_full.pth.ttz")) << "nothing has taken its place yet";
  save("train", 1, .5);
  const std::set<std::string> expected = {
      "_metrics.json",    "best.pth",        "best_full.pth",
      "last.pth",         "last_full.pth",   "train.1.pth",
      "train.1_full.pth", "train.1.pth.ttz", "train.1_full.pth.ttz"};
  EXPECT_EQ(names(), expected);
  EXPECT_EQ(shown_by("best"), "train.1");
}

TEST_F(CheckpointDirectoryTest, without_its_index_a_run_keeps_its_form_too) {
  options_.form = {.form = FileForm::planes};
  open();
  save("train", 1, .2);
  directory_.reset();
  std::filesystem::remove(folder_ + "/.tintype.json");
  options_.form = {};
  const Status refused = try_open(true);
  EXPECT_EQ(refused.code(), StatusCode::invalid_argument);
  EXPECT_THAT(refused.to_string(), HasSubstr(".pth.ttz"));
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/.tintype.json")) << "nothing was written";
  options_.form = {.form = FileForm::planes};
  open(true);
  const auto point = directory_->find_resume_point("last");
  ASSERT_TRUE(point.is_ok()) << point.status().to_string();
  EXPECT_EQ(point->epoch, 1u);
}

TEST_F(CheckpointDirectoryTest, an_empty_run_may_change_its_form) {
  open();
  options_.form = {.form = FileForm::zstd};
  open(true);
  save("train", 1, .2);
  EXPECT_TRUE(names().contains("best.pth.zst"));
}

TEST_F(CheckpointDirectoryTest, no_resume_in_a_directory_with_a_run_evicts_nothing_of_it) {
  open();
  EXPECT_FALSE(directory_->has_foreign_run());
  save("train", 7, .1);
  const std::string old_run = directory_->run_id();
  open();
  EXPECT_TRUE(directory_->has_foreign_run());
  EXPECT_NE(directory_->run_id(), old_run);
  EXPECT_THAT(directory_->entries(), IsEmpty());
  save("train", 1, .9);
  save("train", 2, .8);
  EXPECT_EQ(shown_by("train.7"), "train.7") << "it did not write that one";
  EXPECT_FALSE(names().contains("train.1_full.pth")) << "it did write this one";
  EXPECT_EQ(shown_by("best"), "train.2");
}

TEST_F(CheckpointDirectoryTest, best_and_stems_and_paths_name_their_files) {
  options_.save_n_best = 2;
  open();
  save("train", 1, .1);
  save("train", 2, .2);
  save("train", 3, .3);
  open(true);
  EXPECT_EQ(directory_->find_resume_point("best")->epoch, 1u);
  EXPECT_EQ(directory_->find_resume_point("best_full")->path, folder_ + "/best_full.pth");
  EXPECT_EQ(directory_->find_resume_point("last_full")->epoch, 3u);
  for (const std::string& what : {std::string("train.2"), std::string("train.2_full"),
                                  std::string("train.2_full.pth"), folder_ + "/train.2_full.pth"}) {
    const auto point = directory_->find_resume_point(what);
    ASSERT_TRUE(point.is_ok()) << what << ": " << point.status().to_string();
    EXPECT_EQ(point->path, folder_ + "/train.2_full.pth");
    EXPECT_EQ(point->epoch, 2u);
    EXPECT_TRUE(point->is_named);
  }
  EXPECT_EQ(directory_->find_resume_point("train.9").status().code(), StatusCode::not_found);
  EXPECT_EQ(directory_->find_resume_point("nothing.pth").status().code(), StatusCode::not_found);
  EXPECT_FALSE(directory_->find_resume_point("").is_ok());
}

TEST_F(CheckpointDirectoryTest, a_file_of_another_directory_can_be_resumed_from) {
  const std::string other = logdir_ + "/elsewhere.pth";
  ASSERT_TRUE(
      replace_file(posix_file_system(), other, archive_with(full_payload("other", "train", 9, .1)))
          .is_ok());
  open(true);
  const auto point = directory_->find_resume_point(other);
  ASSERT_TRUE(point.is_ok()) << point.status().to_string();
  EXPECT_EQ(point->epoch, 9u);
  EXPECT_EQ(point->sequence, 0u);
}

TEST_F(CheckpointDirectoryTest, an_empty_directory_has_nothing_to_resume_from) {
  open(true);
  const Status status = directory_->find_resume_point("last").status();
  EXPECT_EQ(status.code(), StatusCode::not_found);
  EXPECT_THAT(status.to_string(), HasSubstr("no checkpoint to resume from"));
}

TEST_F(CheckpointDirectoryTest, the_file_that_was_resumed_from_by_name_is_not_deleted) {
  options_.save_n_best = 2;
  open();
  save("train", 1, .3);
  save("train", 2, .2);
  open(true);
  ASSERT_TRUE(directory_->resumed_from(*directory_->find_resume_point("train.1")).is_ok());
  EXPECT_EQ(directory_->first_epoch("train"), 2u);
  save("train", 2, .15);
  save("train", 3, .1);
  EXPECT_EQ(directory_->entries().size(), 2u);
  EXPECT_EQ(shown_by("train.1"), "train.1");
}

TEST_F(CheckpointDirectoryTest, a_smaller_top_evicts_at_resume_and_another_direction_ranks_anew) {
  save_three();
  options_.save_n_best = 1;
  options_.is_metric_minimized = false;
  open(true);
  EXPECT_THAT(directory_->notes(), ElementsAre(HasSubstr("save_n_best is 1: train.2, train.1")));
  resume("last");
  ASSERT_EQ(directory_->entries().size(), 1u);
  EXPECT_EQ(directory_->entries()[0].stem, "train.3");
  EXPECT_EQ(shown_by("best"), "train.3");
  EXPECT_EQ(names().size(), 7u);
}

TEST_F(CheckpointDirectoryTest, a_smaller_top_spares_the_file_that_is_resumed_from_by_name) {
  save_three();
  options_.save_n_best = 1;
  open(true);
  resume("train.1");
  EXPECT_EQ(directory_->first_epoch("train"), 2u);
  EXPECT_EQ(shown_by("train.1"), "train.1");
  EXPECT_FALSE(names().contains("train.2_full.pth"));
}

TEST_F(CheckpointDirectoryTest, without_a_resume_a_smaller_top_takes_nothing_away) {
  save_three();
  const auto before = names();
  options_.save_n_best = 0;
  open(true);
  options_.save_n_best = 3;
  open(true);
  resume("last");
  EXPECT_EQ(names(), before);
  EXPECT_EQ(directory_->entries().size(), 3u);
}

TEST_F(CheckpointDirectoryTest, a_main_metric_that_no_epoch_has_is_refused_and_changes_nothing) {
  save_three();
  const std::string index = read(folder_ + "/.tintype.json");
  options_.main_metric = "lss";
  const Status status = try_open(true);
  EXPECT_EQ(status.code(), StatusCode::invalid_argument);
  EXPECT_THAT(status.to_string(), HasSubstr("they have loss; set main_metric"));
  EXPECT_EQ(shown_by("best"), "train.1");
  EXPECT_EQ(read(folder_ + "/.tintype.json"), index);
}

TEST_F(CheckpointDirectoryTest, a_best_that_had_no_numbered_file_gets_one_when_places_open) {
  options_.save_n_best = 0;
  open();
  save("train", 1, .1);
  save("train", 2, .2);
  options_.save_n_best = 2;
  open(true);
  EXPECT_EQ(shown_by("train.1"), "train.1");
  EXPECT_EQ(shown_by("train.2"), "train.2");
  EXPECT_EQ(directory_->entries().size(), 2u);
}

TEST_F(CheckpointDirectoryTest, a_copied_directory_resumes) {
  open();
  save("train", 1, .1);
  save("train", 2, .2);
  directory_.reset();
  const std::string copy = logdir_ + "-copy";
  std::filesystem::copy(logdir_, copy, std::filesystem::copy_options::recursive);
  options_.logdir = copy;
  open(true);
  EXPECT_EQ(directory_->find_resume_point("last")->path, copy + "/checkpoints/last_full.pth");
  EXPECT_THAT(directory_->notes(), IsEmpty());
  directory_.reset();
  std::filesystem::remove_all(copy);
}

// --- stages ---

TEST_F(CheckpointDirectoryTest, an_ended_stage_starts_behind_its_last_epoch) {
  open();
  save("stage1", 1, .3);
  save("stage1", 2, .2);
  EXPECT_EQ(directory_->first_epoch("stage1"), 1u);
  ASSERT_TRUE(directory_->mark_stage_ended("stage1").is_ok());
  save("stage2", 1, .1);
  open(true);
  ASSERT_TRUE(directory_->resumed_from(*directory_->find_resume_point("last")).is_ok());
  EXPECT_EQ(directory_->first_epoch("stage1"), 3u);
  EXPECT_EQ(directory_->first_epoch("stage2"), 2u);
  EXPECT_EQ(directory_->first_epoch("stage3"), 1u);
}

TEST_F(CheckpointDirectoryTest, a_stage_ends_when_its_last_save_is_published) {
  open();
  EpochPlan last = plan("train", 1, .3);
  ASSERT_TRUE(directory_->mark_stage_ended("train").is_ok());
  EXPECT_EQ(directory_->first_epoch("train"), 1u);
  write_full(last, .3);
  write_light(last, .3);
  publish(last);
  EXPECT_EQ(directory_->first_epoch("train"), 2u);
  open(true);
  EXPECT_EQ(directory_->first_epoch("train"), 2u);
}

TEST_F(CheckpointDirectoryTest, a_stage_ends_also_while_its_last_save_is_published) {
  open();
  EpochPlan last = plan("train", 1, .3);
  write_full(last, .3);
  write_light(last, .3);
  std::thread publishing([&] { publish(last); });
  while (!std::filesystem::exists(folder_ + "/last_full.pth")) std::this_thread::yield();
  ASSERT_TRUE(directory_->mark_stage_ended("train").is_ok());
  publishing.join();
  EXPECT_EQ(directory_->first_epoch("train"), 2u);
}

TEST_F(CheckpointDirectoryTest, an_ended_stage_that_lost_its_last_epoch_has_it_to_run_again) {
  save_three();
  ASSERT_TRUE(directory_->mark_stage_ended("train").is_ok());
  for (const char* base : {"train.3", "last"}) {
    std::filesystem::remove(folder_ + "/" + base + "_full.pth");
  }
  open(true);
  resume("last");
  EXPECT_EQ(directory_->first_epoch("train"), 3u);
}

TEST_F(CheckpointDirectoryTest, a_stage_whose_last_save_failed_has_not_ended) {
  open();
  save("train", 1, .3);
  EpochPlan failed = plan("train", 2, .1);
  ASSERT_TRUE(directory_->mark_stage_ended("train").is_ok());
  failed.publisher.reset();
  open(true);
  ASSERT_TRUE(directory_->resumed_from(*directory_->find_resume_point("last")).is_ok());
  EXPECT_EQ(directory_->first_epoch("train"), 2u);
}

TEST_F(CheckpointDirectoryTest, resuming_from_before_its_end_reopens_a_stage) {
  options_.save_n_best = 5;
  open();
  save("stage1", 1, .3);
  save("stage1", 2, .2);
  ASSERT_TRUE(directory_->mark_stage_ended("stage1").is_ok());
  save("stage2", 1, .1);
  open(true);
  ASSERT_TRUE(directory_->resumed_from(*directory_->find_resume_point("stage1.1")).is_ok());
  EXPECT_EQ(directory_->first_epoch("stage1"), 2u);
  EXPECT_EQ(directory_->first_epoch("stage2"), 1u);
}

}  // namespace
}  // namespace tintype
