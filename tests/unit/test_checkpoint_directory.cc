// The checkpoint directory on a real file system: names, links, index, eviction, lock, resume.
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/directory/checkpoint_directory.h"
#include "engine/directory/file_digest.h"
#include "io/disk/atomic_file.h"
#include "io/disk/temp_names.h"
#include "tests/support/checkpoint_files.h"

namespace tintype {
namespace {

using namespace testing_support;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

class CheckpointDirectoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "tintype-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    logdir_ = pattern;
    folder_ = logdir_ + "/checkpoints";
    options_.logdir = logdir_;
    options_.read_facts = [](const std::string& path) {
      return facts_in(posix_file_system(), path);
    };
    options_.make_light = [this](const std::string& full, const std::string& light) {
      ++lights_made_;
      return replace_file(posix_file_system(), light,
                          archive_with(light_payload(payload_in(read(full)))));
    };
  }

  void TearDown() override {
    directory_.reset();
    std::filesystem::remove_all(logdir_);
  }

  Status try_open(bool is_resumed) {
    directory_.reset();
    options_.is_resumed = is_resumed;
    Result<std::unique_ptr<CheckpointDirectory>> opened = CheckpointDirectory::open(options_);
    if (opened.is_ok()) directory_ = std::move(opened).value();
    return opened.status();
  }

  void open(bool is_resumed = false) {
    const Status status = try_open(is_resumed);
    ASSERT_TRUE(status.is_ok()) << status.message();
  }

  EpochPlan plan(const std::string& stage, uint64_t epoch, double loss) {
    Result<EpochPlan> made = directory_->plan_epoch(stage, epoch, {{"loss", loss}});
    EXPECT_TRUE(made.is_ok()) << made.status().message();
    return std::move(made).value();
  }

  void write_full(const EpochPlan& plan, double loss) {
    const std::string payload = payload_for(plan, loss);
    EXPECT_TRUE(replace_file(posix_file_system(), plan.full_path, archive_with(payload)).is_ok());
  }

  void write_light(const EpochPlan& plan, double loss) {
    const std::string payload = light_payload(payload_for(plan, loss));
    EXPECT_TRUE(replace_file(posix_file_system(), plan.light_path, archive_with(payload)).is_ok());
  }

  std::string payload_for(const EpochPlan& plan, double loss) {
    const size_t dot = plan.stem.rfind('.');
    return full_payload(directory_->run_id(), plan.stem.substr(0, dot),
                        std::stoull(plan.stem.substr(dot + 1)), loss);
  }

  void publish(EpochPlan& plan) {
    const Status status = plan.publisher->publish();
    EXPECT_TRUE(status.is_ok()) << status.message();
    if (status.is_ok()) plan.publisher->evict();
    plan.publisher.reset();
  }

  // A whole save, as the engine does it.
  void save(const std::string& stage, uint64_t epoch, double loss) {
    EpochPlan made = plan(stage, epoch, loss);
    write_full(made, loss);
    write_light(made, loss);
    publish(made);
  }

  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& file : std::filesystem::directory_iterator(folder_)) {
      const std::string name = file.path().filename();
      if (name.front() != '.') found.insert(name);
    }
    return found;
  }

  std::string read(const std::string& path) const {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }

  // Which epoch a full file holds, and whether its light file is of the same.
  std::string shown_by(const std::string& base) const {
    const std::string full = payload_in(read(folder_ + "/" + base + "_full.pth"));
    const std::string light = read(folder_ + "/" + base + ".pth");
    if (light.find(light_payload(full)) == std::string::npos) return "mismatch";
    std::istringstream text(full);
    std::string mark, run_id, stage, epoch;
    text >> mark >> run_id >> stage >> epoch;
    return stage + "." + epoch;
  }

  void damage(const std::string& name) {
    const std::string path = folder_ + "/" + name;
    std::string content = read(path);
    ASSERT_FALSE(content.empty()) << path;
    content.resize(content.size() - 30);
    std::ofstream(path, std::ios::binary | std::ios::trunc) << content;
  }

  nlohmann::ordered_json metrics() const {
    return nlohmann::ordered_json::parse(read(folder_ + "/_metrics.json"));
  }

  std::string logdir_;
  std::string folder_;
  CheckpointDirectoryOptions options_;
  std::unique_ptr<CheckpointDirectory> directory_;
  int lights_made_ = 0;
};

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
  EXPECT_THAT(std::string(status.message()),
              HasSubstr("'loss' is not among the metrics (acc, f1)"));
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

// --- saves under way, and saves that fail ---

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

// --- resume ---

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
  ASSERT_TRUE(point.is_ok()) << point.status().message();
  EXPECT_EQ(point->path, folder_ + "/last_full.pth");
  EXPECT_EQ(point->epoch, 3u);
  ASSERT_TRUE(directory_->resumed_from(*point).is_ok());
  EXPECT_EQ(directory_->first_epoch("train"), 4u);
  EXPECT_EQ(directory_->first_epoch("other"), 1u);
  save("train", 4, .4);
  EXPECT_EQ(shown_by("best"), "train.2") << "the best is not forgotten";
  EXPECT_EQ(directory_->entries().size(), 2u);
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
    ASSERT_TRUE(point.is_ok()) << what << ": " << point.status().message();
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
  ASSERT_TRUE(point.is_ok()) << point.status().message();
  EXPECT_EQ(point->epoch, 9u);
  EXPECT_EQ(point->sequence, 0u);
}

TEST_F(CheckpointDirectoryTest, an_empty_directory_has_nothing_to_resume_from) {
  open(true);
  const Status status = directory_->find_resume_point("last").status();
  EXPECT_EQ(status.code(), StatusCode::not_found);
  EXPECT_THAT(std::string(status.message()), HasSubstr("no checkpoint to resume from"));
}

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
  EXPECT_THAT(directory_->notes(), ElementsAre(HasSubstr("train.3_full.pth' is cut off")));
  const auto point = directory_->find_resume_point("last");
  ASSERT_TRUE(point.is_ok()) << point.status().message();
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
  const auto point = directory_->find_resume_point("last");
  ASSERT_TRUE(point.is_ok());
  EXPECT_EQ(point->path, folder_ + "/train.2_full.pth");
  EXPECT_THAT(point->notes, ElementsAre(HasSubstr("last_full.pth cannot be used: bad bytes")));
}

TEST_F(CheckpointDirectoryTest, a_named_file_that_is_damaged_is_an_error_and_no_walk) {
  options_.save_n_best = 3;
  open();
  save("train", 1, .3);
  save("train", 2, .1);
  damage("train.1_full.pth");
  EXPECT_EQ(directory_->find_resume_point("train.1").status().code(), StatusCode::corruption);
}

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

TEST_F(CheckpointDirectoryTest, a_loser_that_a_crash_left_behind_goes_at_the_next_start) {
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
  EXPECT_FALSE(names().contains("train.1_full.pth"));
  EXPECT_FALSE(names().contains("train.1.pth"));
  EXPECT_EQ(names().size(), 7u);
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

TEST_F(CheckpointDirectoryTest, a_smaller_top_evicts_at_resume_and_another_metric_ranks_anew) {
  options_.save_n_best = 3;
  open();
  for (uint64_t epoch = 1; epoch <= 3; ++epoch) save("train", epoch, .1 * double(epoch));
  options_.save_n_best = 1;
  options_.is_metric_minimized = false;
  open(true);
  ASSERT_EQ(directory_->entries().size(), 1u);
  EXPECT_EQ(directory_->entries()[0].stem, "train.3");
  EXPECT_EQ(shown_by("best"), "train.3");
  EXPECT_EQ(names().size(), 7u);
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

TEST_F(CheckpointDirectoryTest, a_garbled_index_is_an_error_that_says_what_to_do) {
  open();
  save("train", 1, .1);
  std::ofstream(folder_ + "/.tintype.json") << "{\"format\":";
  const Status status = try_open(true);
  EXPECT_EQ(status.code(), StatusCode::corruption);
  EXPECT_THAT(std::string(status.message()), HasSubstr("move it away"));
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
  ASSERT_TRUE(point.is_ok()) << point.status().message();
  EXPECT_EQ(point->epoch, 4u);
  EXPECT_THAT(point->notes, ElementsAre(HasSubstr("not in the index")));
}

TEST_F(CheckpointDirectoryTest, a_file_that_cannot_be_read_just_now_is_not_given_up) {
  open();
  save("train", 1, .1);
  options_.check_file = [](const std::string& path) { return errno_status(EMFILE, "read", path); };
  const Status status = try_open(true);
  EXPECT_EQ(status.code(), StatusCode::resource_exhausted) << status.message();
  options_.check_file = nullptr;
  open(true);
  EXPECT_EQ(directory_->entries().size(), 1u);
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

// --- the lock ---

TEST_F(CheckpointDirectoryTest, a_second_writer_is_told_who_holds_the_lock) {
  open();
  const auto second = CheckpointDirectory::open(options_);
  ASSERT_FALSE(second.is_ok());
  EXPECT_EQ(second.status().code(), StatusCode::locked);
  EXPECT_THAT(std::string(second.status().message()),
              HasSubstr("process " + std::to_string(::getpid()) + " on "));
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(" since 20"));
}

TEST_F(CheckpointDirectoryTest, another_process_is_locked_out) {
  open();
  const pid_t child = ::fork();
  if (child == 0) {
    const auto second = CheckpointDirectory::open(options_);
    ::_exit(second.status().code() == StatusCode::locked ? 7 : 1);
  }
  int state = 0;
  ASSERT_EQ(::waitpid(child, &state, 0), child);
  EXPECT_EQ(WEXITSTATUS(state), 7);
}

TEST_F(CheckpointDirectoryTest, a_forked_child_does_not_hold_the_lock) {
  open();
  int pipe_ends[2];
  ASSERT_EQ(::pipe(pipe_ends), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe_ends[1]);
    char byte = 0;
    const bool is_released = ::read(pipe_ends[0], &byte, 1) == 0;  // until the parent is done
    ::_exit(is_released ? 0 : 1);
  }
  ::close(pipe_ends[0]);
  directory_.reset();
  const Status status = try_open(true);
  EXPECT_TRUE(status.is_ok()) << status.message();
  ::close(pipe_ends[1]);
  int state = 0;
  ASSERT_EQ(::waitpid(child, &state, 0), child);
  EXPECT_EQ(WEXITSTATUS(state), 0);
}

TEST_F(CheckpointDirectoryTest, destruction_in_a_forked_child_ends_and_changes_nothing) {
  open();
  save("train", 1, .1);
  EpochPlan pending = plan("train", 2, .05);
  const auto before = read(folder_ + "/.tintype.json");
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);
    pending.publisher.reset();
    directory_.reset();
    ::_exit(0);
  }
  int state = 0;
  ASSERT_EQ(::waitpid(child, &state, 0), child);
  EXPECT_TRUE(WIFEXITED(state));
  EXPECT_EQ(read(folder_ + "/.tintype.json"), before);
  EXPECT_EQ(CheckpointDirectory::open(options_).status().code(), StatusCode::locked);
}

TEST_F(CheckpointDirectoryTest, closing_frees_the_lock_once_the_saves_are_over) {
  open();
  EpochPlan pending = plan("train", 1, .1);
  ASSERT_TRUE(directory_->close().is_ok());
  EXPECT_FALSE(directory_->plan_epoch("train", 2, {{"loss", 1}}).is_ok());
  EXPECT_EQ(CheckpointDirectory::open(options_).status().code(), StatusCode::locked);
  write_full(pending, .1);
  write_light(pending, .1);
  publish(pending);
  EXPECT_TRUE(CheckpointDirectory::open(options_).is_ok());
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
