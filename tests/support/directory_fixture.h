// A checkpoint directory on a real file system, with whole saves in one line: what its tests share.
#pragma once

#include <stdlib.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/directory/checkpoint_directory.h"
#include "io/disk/atomic_file.h"
#include "io/disk/file_system.h"
#include "tests/support/checkpoint_files.h"

namespace tintype::testing_support {

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
    ASSERT_TRUE(status.is_ok()) << status.to_string();
  }

  EpochPlan plan(const std::string& stage, uint64_t epoch, double loss) {
    Result<EpochPlan> made = directory_->plan_epoch(stage, epoch, {{"loss", loss}});
    EXPECT_TRUE(made.is_ok()) << made.status().to_string();
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
    EXPECT_TRUE(status.is_ok()) << status.to_string();
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

  // Losses .1, .2, .3: the first is the best.
  void save_three() {
    options_.save_n_best = 3;
    open();
    for (uint64_t epoch = 1; epoch <= 3; ++epoch) save("train", epoch, .1 * double(epoch));
  }

  void resume(const std::string& what) {
    const auto point = directory_->find_resume_point(what);
    ASSERT_TRUE(point.is_ok()) << point.status().to_string();
    ASSERT_TRUE(directory_->resumed_from(*point).is_ok());
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

}  // namespace tintype::testing_support
