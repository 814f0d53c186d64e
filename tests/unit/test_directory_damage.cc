// Resuming a checkpoint directory that was hurt: files cut off, left over by a crash, no index.
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"
#include "engine/directory/checkpoint_directory.h"
#include "io/disk/atomic_file.h"
#include "io/disk/file_system.h"
#include "io/disk/links.h"
#include "io/disk/temp_names.h"
#include "tests/support/checkpoint_files.h"
#include "tests/support/directory_fixture.h"

namespace tintype {
namespace {

using namespace testing_support;
using testing::AllOf;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;

// --- damaged files, lost indexes ---

TEST_F(CheckpointDirectoryTest, a_damaged_newest_file_sends_resume_to_an_older_one) {
  options_.save_n_best = 2;
  open();
  save("train", 1, .3);
  save("train", 2, .2);
  save("train", 3, .1);
  damage("train.3_full.pth");  // one inode with best and last, where links are hard
  damage("last_full.pth");
  damage("best_full.pth");
  open(true);
  EXPECT_THAT(directory_->notes(),
              ElementsAre(AllOf(HasSubstr(": 'train.3_full.pth' begins as an archive, but"),
                                EndsWith("; last is now train.2, best train.2"))));
  const auto point = directory_->find_resume_point("last");
  ASSERT_TRUE(point.is_ok()) << point.status().to_string();
  EXPECT_EQ(point->epoch, 2u);
  EXPECT_EQ(shown_by("last"), "train.2") << "last.pth is a complete file again";
  EXPECT_EQ(shown_by("best"), "train.2");
  EXPECT_TRUE(names().contains("train.3_full.pth")) << "what is not understood is not deleted";
}

TEST_F(CheckpointDirectoryTest, damage_after_the_start_is_walked_around_with_notes) {
  options_.save_n_best = 3;
  options_.check_file = [](const std::string& path) {
    return path.find("last_full") != std::string::npos ? Status::corruption("bad bytes") : Status();
  };
  open();
  save("train", 1, .3);
  save("train", 2, .1);
  auto point = directory_->find_resume_point("last");
  ASSERT_TRUE(point.is_ok());
  EXPECT_EQ(point->path, folder_ + "/train.1_full.pth");  // the others are the same file
  EXPECT_THAT(point->notes, ElementsAre("last_full.pth, train.2_full.pth, best_full.pth cannot be "
                                        "used: bad bytes; resuming from train.1 instead"));

  const std::string copy = folder_ + "/last_full.pth";  // as where the file system has no links
  ASSERT_TRUE(std::filesystem::remove(copy));
  std::filesystem::copy_file(folder_ + "/train.2_full.pth", copy);
  point = directory_->find_resume_point("last");
  ASSERT_TRUE(point.is_ok());
  EXPECT_EQ(point->path, folder_ + "/train.2_full.pth");
  EXPECT_THAT(point->notes, ElementsAre("last_full.pth cannot be used: bad bytes; "
                                        "resuming from train.2 instead"));
}

TEST_F(CheckpointDirectoryTest, a_named_file_that_is_damaged_is_an_error_and_no_walk) {
  options_.save_n_best = 3;
  open();
  save("train", 1, .3);
  save("train", 2, .1);
  damage("train.1_full.pth");
  EXPECT_EQ(directory_->find_resume_point("train.1").status().code(), StatusCode::corruption);
}

TEST_F(CheckpointDirectoryTest, a_garbled_index_is_an_error_that_says_what_to_do) {
  open();
  save("train", 1, .1);
  std::ofstream(folder_ + "/.tintype.json") << "{\"format\":";
  const Status status = try_open(true);
  EXPECT_EQ(status.code(), StatusCode::corruption);
  EXPECT_THAT(status.to_string(), HasSubstr("move it away"));
  open(false);
  EXPECT_TRUE(directory_->has_foreign_run());
  EXPECT_EQ(shown_by("train.1"), "train.1");
}

TEST_F(CheckpointDirectoryTest, a_lost_index_is_made_again_from_the_files_of_the_run) {
  options_.save_n_best = 2;
  open();
  // "warm-up" comes after "train" in the alphabet and before it in time.
  for (uint64_t epoch = 1; epoch <= 3; ++epoch)
    save("warm-up", epoch, 1. / static_cast<double>(epoch));
  for (uint64_t epoch = 1; epoch <= 3; ++epoch)
    save("train", epoch, .1 * static_cast<double>(epoch));
  const std::string run_id = directory_->run_id();
  directory_.reset();
  std::filesystem::remove(folder_ + "/.tintype.json");
  open(true);
  EXPECT_EQ(directory_->run_id(), run_id);
  EXPECT_THAT(directory_->notes(), testing::Contains(HasSubstr("made again from the files")));
  EXPECT_EQ(directory_->best()->stem, "train.1");
  EXPECT_EQ(directory_->last()->stem, "train.3");
  EXPECT_EQ(directory_->entries().size(), 4u);
  EXPECT_EQ(directory_->find_resume_point("last")->epoch, 3u);
}

TEST_F(CheckpointDirectoryTest, files_without_index_and_run_still_let_last_be_resumed_from) {
  open();
  save("train", 4, .1);
  directory_.reset();
  std::filesystem::remove(folder_ + "/.tintype.json");
  options_.read_facts = [](const std::string& path) -> Result<FullFileFacts> {
    TINTYPE_ASSIGN_OR_RETURN(FullFileFacts facts, facts_in(posix_file_system(), path));
    facts.run_id.clear();
    return facts;
  };
  open(true);
  const auto point = directory_->find_resume_point("last");
  ASSERT_TRUE(point.is_ok()) << point.status().to_string();
  EXPECT_EQ(point->epoch, 4u);
  EXPECT_THAT(point->notes, ElementsAre(HasSubstr("not in the index")));
}

TEST_F(CheckpointDirectoryTest, a_file_that_cannot_be_read_just_now_is_not_given_up) {
  open();
  save("train", 1, .1);
  options_.check_file = [](const std::string& path) { return errno_status(EMFILE, "read", path); };
  const Status status = try_open(true);
  EXPECT_EQ(status.code(), StatusCode::resource_exhausted) << status.to_string();
  options_.check_file = nullptr;
  open(true);
  EXPECT_EQ(directory_->entries().size(), 1u);
}

// --- what a crash leaves ---

TEST_F(CheckpointDirectoryTest, a_full_file_newer_than_the_index_is_adopted_with_its_metrics) {
  options_.save_n_best = 2;
  open();
  save("train", 1, .3);
  EpochPlan cut = plan("train", 2, .1);
  write_full(cut, .1);
  cut.publisher.reset();  // dies before the light file
  open(true);
  EXPECT_THAT(directory_->notes(), testing::Contains(HasSubstr("taken up as train.2")));
  ASSERT_EQ(directory_->entries().size(), 2u);
  EXPECT_EQ(directory_->entries()[0].stem, "train.2");
  EXPECT_EQ(directory_->entries()[0].score, .1);
  EXPECT_EQ(lights_made_, 1);
  EXPECT_EQ(shown_by("train.2"), "train.2");
  EXPECT_EQ(shown_by("best"), "train.2");
  EXPECT_EQ(shown_by("last"), "train.2");
  EXPECT_EQ(directory_->find_resume_point("last")->epoch, 2u);
  EXPECT_EQ(metrics()["last"]["loss"], .1);
}

TEST_F(CheckpointDirectoryTest, a_newer_last_without_a_numbered_file_is_adopted) {
  open();
  save("train", 1, .1);
  EpochPlan cut = plan("train", 2, .2);
  ASSERT_FALSE(cut.is_numbered);
  write_full(cut, .2);
  cut.publisher.reset();
  open(true);
  EXPECT_EQ(directory_->find_resume_point("last")->epoch, 2u);
  EXPECT_EQ(shown_by("last"), "train.2") << "its light file was made again";
  EXPECT_EQ(shown_by("best"), "train.1");
  EXPECT_EQ(directory_->entries().size(), 1u);
}

TEST_F(CheckpointDirectoryTest, an_epoch_that_replaced_itself_in_last_is_adopted) {
  open();
  save("train", 1, .1);
  save("train", 2, .3);  // in last only
  for (const double loss : {.2, .05}) {
    EpochPlan cut = plan("train", 2, loss);
    EXPECT_EQ(cut.is_numbered, loss < .1);
    write_full(cut, loss);
    if (cut.is_numbered) {
      ASSERT_TRUE(move_link(*posix_file_system().open_directory(folder_).value(),
                            "train.2_full.pth", "last_full.pth")
                      .is_ok());
    }
    cut.publisher.reset();  // dies before the index names it
    open(true);
    EXPECT_EQ(directory_->find_resume_point("last")->epoch, 2u);
    EXPECT_EQ(shown_by("last"), "train.2");
    EXPECT_EQ(metrics()["last"]["loss"], loss);
  }
  EXPECT_EQ(shown_by("best"), "train.2");
}

TEST_F(CheckpointDirectoryTest, files_of_other_runs_and_older_epochs_are_not_adopted) {
  options_.save_n_best = 1;
  open();
  save("train", 3, .3);
  const std::string run_id = directory_->run_id();
  const auto put = [&](const std::string& name, const std::string& payload) {
    ASSERT_TRUE(
        replace_file(posix_file_system(), folder_ + "/" + name, archive_with(payload)).is_ok());
  };
  put("train.9_full.pth", full_payload("another", "train", 9, .01));
  put("train.2_full.pth", full_payload(run_id, "train", 2, .01));
  put("train.8_full.pth", full_payload(run_id, "train", 7, .01));  // the name lies
  std::ofstream(folder_ + "/train.6_full.pth") << "no archive";
  open(true);
  ASSERT_EQ(directory_->entries().size(), 1u);
  EXPECT_EQ(directory_->entries()[0].stem, "train.3");
  EXPECT_EQ(directory_->find_resume_point("last")->epoch, 3u);
  for (const char* name :
       {"train.9_full.pth", "train.2_full.pth", "train.8_full.pth", "train.6_full.pth"}) {
    EXPECT_TRUE(names().contains(name)) << "unindexed files are never deleted";
  }
}

TEST_F(CheckpointDirectoryTest, a_loser_that_a_crash_left_behind_goes_when_the_job_has_resumed) {
  options_.save_n_best = 1;
  open();
  save("train", 1, .3);
  EpochPlan cut = plan("train", 2, .1);
  write_full(cut, .1);
  write_light(cut, .1);
  ASSERT_TRUE(cut.publisher->publish().is_ok());
  cut.publisher.reset();  // dies before it evicts
  EXPECT_TRUE(names().contains("train.1_full.pth"));
  open(true);
  EXPECT_THAT(directory_->notes(), IsEmpty());
  resume("last");
  EXPECT_FALSE(names().contains("train.1_full.pth"));
  EXPECT_FALSE(names().contains("train.1.pth"));
  EXPECT_EQ(names().size(), 7u);
}

TEST_F(CheckpointDirectoryTest, orphans_of_dead_writers_go_at_the_start) {
  open();
  save("train", 1, .1);
  directory_.reset();
  std::vector<std::string> orphans;
  for (const char* name : {"train.2_full.pth", "best.pth", ".tintype.json", "_metrics.json"}) {
    orphans.push_back(folder_ + "/" + temp_name_for(name));
    std::ofstream(orphans.back()) << "half";
  }
  open(true);
  for (const std::string& orphan : orphans) EXPECT_FALSE(std::filesystem::exists(orphan)) << orphan;
  EXPECT_EQ(shown_by("best"), "train.1");
}

}  // namespace
}  // namespace tintype
