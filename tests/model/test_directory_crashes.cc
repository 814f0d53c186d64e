// Power cuts at every operation of whole runs: Engine and CheckpointDirectory save light and full
// files, move best and last, replace the index and evict, two saves in flight. Whatever disk a cut
// leaves, the next start finds the newest acknowledged save or a newer one whole, nothing torn.
// TINTYPE_FULL=1 in the environment makes it ten times longer.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <iostream>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "engine/directory/checkpoint_layout.h"
#include "tests/support/checkpoint_run.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/protocol_step.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using Labels = std::map<std::string, std::string>;

constexpr const char* kLogdir = "/logdir";
constexpr const char* kFolder = "/logdir/checkpoints";
constexpr size_t kStorageBytes = 6000;
constexpr uint32_t kKept = 2;
constexpr int kSavesPerRun = 8;

struct Totals {
  uint64_t runs = 0, cuts = 0, starts = 0, orphans = 0, resaves = 0, violations = 0;
  std::unordered_set<uint64_t> disks;  // distinct ones, by hash
  std::unordered_set<uint64_t> cases;  // a disk and what had been acknowledged
  struct Step {
    uint64_t cuts = 0, disks = 0;
  };
  std::map<std::string, Step> steps;
  std::string first_violation;
};

// What the next start finds on one disk, checked against what the run was told.
class Aftermath {
 public:
  Aftermath(SimulatedDisk& disk, const std::vector<Version>& started, uint64_t acknowledged)
      : disk_(disk), started_(started), acknowledged_(acknowledged) {}

  // Empty if every promise is kept.
  std::string violation(bool is_saved_again) {
    if (std::string text = before_the_start(); !text.empty()) return text;
    auto run = CheckpointRun::open(options());
    if (!run.is_ok()) return "cannot start again: " + run.status().to_string();
    if (std::string text = after_the_start((*run)->directory()); !text.empty()) return text;
    return is_saved_again ? save_again(**run) : "";
  }

  uint64_t orphan_count() const { return orphan_count_; }

 private:
  CheckpointRunOptions options() {
    return {.logdir = kLogdir,
            .file_system = &disk_,
            .save_n_best = kKept,
            .is_resumed = true,
            .storage_bytes = kStorageBytes};
  }

  std::string before_the_start() {
    for (const auto& [name, label] : labels_in(disk_, kFolder, kStorageBytes)) {
      if (label == "temp") ++orphan_count_;
      if (label == "torn" || label == "other") return name + " is " + label;
      const bool is_full = name.ends_with("_full.pth");
      if (name.ends_with(".pth") && label.starts_with("full") != is_full) {
        return name + " is " + label;
      }
    }
    return "";
  }

  std::string after_the_start(CheckpointDirectory& directory) {
    const auto point = directory.find_resume_point("last");
    if (!point.is_ok()) {
      if (acknowledged_ == 0) return "";
      return "nothing to resume: " + point.status().to_string();
    }
    const Status status = directory.resumed_from(*point);
    if (!status.is_ok()) return "cannot resume: " + status.to_string();
    const Labels labels = labels_in(disk_, kFolder, kStorageBytes);
    const std::string name = point->path.substr(point->path.rfind('/') + 1);
    newest_ = version_of_label(labels.at(name));
    if (newest_ < acknowledged_ || newest_ > started_.size()) {
      return "resumes version " + std::to_string(newest_) + ", acknowledged is " +
             std::to_string(acknowledged_);
    }
    return unlike_expected(labels, directory);
  }

  // The pair under `base` must be that of `version`.
  static std::string unlike(const Labels& labels, std::string_view base, uint64_t version) {
    const std::string number = std::to_string(version);
    const auto holds = [&](const std::string& name, const std::string& label) {
      const auto place = labels.find(name);
      return place != labels.end() && place->second == label;
    };
    if (holds(full_name(base, FileForm::plain), "full " + number) &&
        holds(light_name(base, FileForm::plain), "light " + number)) {
      return "";
    }
    return std::string(base) + " is not version " + number;
  }

  std::string unlike_expected(const Labels& labels, CheckpointDirectory& directory) {
    const std::vector<Version> ranked = ranked_until_newest();
    std::string text = unlike(labels, "last", newest_);
    if (text.empty()) text = unlike(labels, "best", ranked.front().number);
    const size_t kept = std::min<size_t>(kKept, ranked.size());
    if (directory.entries().size() != kept) {
      text = std::to_string(directory.entries().size()) + " checkpoints are kept";
    }
    size_t checkpoint_files = 4;
    for (size_t i = 0; i < kept && text.empty(); ++i, checkpoint_files += 2) {
      text = unlike(labels, stem_of("train", ranked[i].epoch), ranked[i].number);
    }
    size_t found = 0;
    for (const auto& [name, label] : labels) {
      if (label == "temp") text = "an orphan stays";
      if (name.ends_with(".pth")) ++found;
    }
    if (text.empty() && found != checkpoint_files) text = surplus(labels);
    return text;
  }

  std::string surplus(const Labels& labels) const {
    std::string text = "more files than " + std::to_string(kKept) + " kept ones, best and last:";
    for (const auto& [name, label] : labels) text += " " + name + " (" + label + ")";
    return text;
  }

  // Best first, as a fresh look at all saves up to the resumed one ranks them.
  std::vector<Version> ranked_until_newest() const {
    std::vector<Version> ranked(started_.begin(),
                                started_.begin() + static_cast<std::ptrdiff_t>(newest_));
    std::stable_sort(ranked.begin(), ranked.end(),
                     [](const Version& a, const Version& b) { return a.loss < b.loss; });
    return ranked;
  }

  std::string save_again(CheckpointRun& run) {
    EngineOptions options{.staging_bytes = 64 << 10, .extent_bytes = 4096, .copy_threads = 1};
    options.file_system = &disk_;
    auto engine = std::move(Engine::create(std::move(options)).value());
    const Version next{1000, newest_ + 1, 2.0};
    const Status status = run.save(*engine, next);
    if (!status.is_ok()) return "saving again fails: " + status.to_string();
    return unlike(labels_in(disk_, kFolder, kStorageBytes), "last", next.number);
  }

  SimulatedDisk& disk_;
  const std::vector<Version>& started_;
  const uint64_t acknowledged_;
  uint64_t newest_ = 0;
  uint64_t orphan_count_ = 0;
};

// One job: kSavesPerRun epochs, the power cut in thought at every operation.
class CrashedRun {
 public:
  CrashedRun(uint64_t seed, SimulatedDiskOptions options, Totals& totals)
      : random_(seed), disk_(options), faulty_(disk_, injector_), totals_(totals) {
    injector_.set_observer(
        [this](const FaultInjector::Operation& operation) { cut_power(operation); });
  }

  void run() {
    ++totals_.runs;
    EngineOptions options{.staging_bytes = 64 << 10, .extent_bytes = 4096, .copy_threads = 1};
    options.file_system = &faulty_;
    auto engine = std::move(Engine::create(std::move(options)).value());
    auto run = CheckpointRun::open({.logdir = kLogdir,
                                    .file_system = &faulty_,
                                    .save_n_best = kKept,
                                    .storage_bytes = kStorageBytes});
    ASSERT_OK(run);
    is_started_ = true;
    std::vector<std::shared_ptr<Snapshot>> snapshots;
    for (int i = 0; i < kSavesPerRun; ++i) {
      snapshots.push_back((*run)->save_async(*engine, next_version()).value());
      if (is_waiting_next()) acknowledge(snapshots);
    }
    acknowledge(snapshots);
    cut_power({"end", ""});
  }

 private:
  Version next_version() {
    std::lock_guard lock(mutex_);
    const uint64_t number = started_.size() + 1;
    // On the whole it gets better, so that there are losers to evict.
    const uint64_t loss = 1000 - 60 * number + random_() % 300;
    started_.push_back({number, number, static_cast<double>(loss) / 1000});
    return started_.back();
  }

  bool is_waiting_next() {
    std::lock_guard lock(mutex_);
    return random_() % 2 == 0;
  }

  void acknowledge(const std::vector<std::shared_ptr<Snapshot>>& snapshots) {
    ASSERT_OK(*snapshots.back()->wait_durable(std::nullopt));
    std::lock_guard lock(mutex_);
    acknowledged_ = snapshots.size();
  }

  // Called by whichever thread does the operation.
  void cut_power(const FaultInjector::Operation& operation) {
    std::lock_guard lock(mutex_);
    if (!is_started_) return;
    for (int i = 0; i < 2; ++i) {
      const auto after = disk_.crash(random_());
      ++totals_.cuts;
      Totals::Step& step = totals_.steps[protocol_step(operation)];
      ++step.cuts;
      const uint64_t hash = after->hash();
      step.disks += totals_.disks.insert(hash).second ? 1 : 0;
      if (!totals_.cases.insert(hash ^ acknowledged_).second) continue;
      Aftermath aftermath(*after, started_, acknowledged_);
      const bool is_saved_again = totals_.cases.size() % 16 == 0;
      const std::string violation = aftermath.violation(is_saved_again);
      ++totals_.starts;
      totals_.orphans += aftermath.orphan_count();
      totals_.resaves += is_saved_again ? 1 : 0;
      if (!violation.empty() && totals_.violations++ == 0) {
        totals_.first_violation = protocol_step(operation) + ": " + violation;
      }
    }
  }

  std::mutex mutex_;  // guards all but the disk
  std::mt19937_64 random_;
  SimulatedDisk disk_;
  FaultInjector injector_;
  FaultFileSystem faulty_;
  Totals& totals_;
  std::vector<Version> started_;
  uint64_t acknowledged_ = 0;
  std::atomic<bool> is_started_ = false;
};

// `count` runs, and more until they left enough distinct disks: which ones they leave depends on
// how the engine's threads take turns.
Totals run_all(SimulatedDiskOptions options, uint64_t first_seed, uint64_t count,
               size_t disks_min = 0) {
  Totals totals;
  for (uint64_t i = 0; i < count || (totals.disks.size() < disks_min && i < 2 * count); ++i) {
    CrashedRun(first_seed + i, options, totals).run();
  }
  return totals;
}

void print(const char* what, const Totals& totals) {
  std::cout << what << ": " << totals.cuts << " power cuts in " << totals.runs << " runs left "
            << totals.disks.size() << " distinct disks, " << totals.orphans << " orphans on them, "
            << totals.resaves << " saves afterwards, " << totals.violations << " violations\n";
  for (const auto& [name, step] : totals.steps) {
    std::cout << "  step " << name << ": " << step.cuts << " cuts, " << step.disks
              << " new disks\n";
  }
}

void expect_every_promise_kept(const char* what, SimulatedDiskOptions options, uint64_t seed) {
  const size_t scale = std::getenv("TINTYPE_FULL") != nullptr ? 10 : 1;
  const size_t disks_min = 2500 * scale;
  const Totals totals = run_all(options, seed, 6 * scale, disks_min);
  print(what, totals);
  EXPECT_EQ(totals.violations, 0u) << totals.first_violation;
  EXPECT_GE(totals.disks.size(), disks_min) << "four file systems make 10,000";
  EXPECT_GT(totals.orphans, 0u);
  EXPECT_GT(totals.resaves, 0u);
  for (const char* step :
       {"1 space", "2 temp", "3 allocate", "4 write", "5 size", "6 fdatasync", "8b rename",
        "9a, 11 directory fsync", "10 best, last", "11 index, metrics", "12 evict"}) {
    EXPECT_TRUE(totals.steps.contains(step)) << step;
  }
}

TEST(DirectoryCrashes, nothing_acknowledged_is_lost_on_a_file_system_with_everything) {
  expect_every_promise_kept("exchange, hard links", {}, 100);
}

TEST(DirectoryCrashes, nothing_acknowledged_is_lost_without_unnamed_files) {
  expect_every_promise_kept("named temps", {.has_unnamed_files = false}, 200);
}

TEST(DirectoryCrashes, nothing_acknowledged_is_lost_without_exchange_and_hard_links) {
  expect_every_promise_kept("plain rename, copies",
                            {.has_exchange = false, .has_hard_links = false}, 300);
}

TEST(DirectoryCrashes, nothing_acknowledged_is_lost_with_clones) {
  expect_every_promise_kept("clones", {.has_clones = true}, 400);
}

// The checks themselves are put to the test: a disk that lies must be found out.
TEST(DirectoryCrashes, a_disk_that_lies_is_found_out) {
  const Totals data = run_all({.is_sync_data_honest = false}, 500, 1);
  print("lying fdatasync", data);
  EXPECT_GT(data.violations, 0u);
  const Totals names = run_all({.is_directory_sync_honest = false}, 600, 1);
  print("lying directory fsync", names);
  EXPECT_GT(names.violations, 0u);
}

}  // namespace
}  // namespace tintype
