// A whole save of a checkpoint directory (full and light file, best and last, index, eviction) with
// one operation failing, for every operation in turn. Up to step 9a the old state stands, from step
// 10 on the save is durable, a failed eviction is a warning; the engine serves the next save. On
// real disks each operation meets two of the errors in turn, and all of them with TINTYPE_FULL=1.
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "engine/directory/checkpoint_layout.h"
#include "tests/support/checkpoint_run.h"
#include "tests/support/fault_counts.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/fault_write_queue.h"
#include "tests/support/protocol_step.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

using testing::HasSubstr;
using Labels = std::map<std::string, std::string>;

constexpr size_t kStorageBytes = 40'000;
bool is_full_run() { return std::getenv("TINTYPE_FULL") != nullptr; }

constexpr int kShortWrite = FaultInjector::kShortWrite;

// What the writer gets over by itself.
bool is_repeatable(int error_number) {
  return error_number == EAGAIN || error_number == EINTR || error_number == kShortWrite;
}

struct Backend {
  const char* name;
  bool is_simulated;
  const char* queue;
  DirectIo direct_io;
  SimulatedDiskOptions disk = {};

  // The quick one, which gets all errors in every run.
  bool is_main_simulation() const { return std::string_view(name) == "simulated"; }
};

constexpr Backend kBackends[] = {
    {"simulated", true, "pwrite", DirectIo::off},
    {"named_temps", true, "pwrite", DirectIo::off, {.has_unnamed_files = false}},
    {"copies", true, "pwrite", DirectIo::off, {.has_hard_links = false}},
    {"clones", true, "pwrite", DirectIo::off, {.has_clones = true}},
    {"pwrite", false, "pwrite", DirectIo::preferred},
    {"io_uring", false, "io_uring", DirectIo::preferred},
    {"buffered", false, "io_uring", DirectIo::off},
};

// The other ways to make files and links run with TINTYPE_FULL=1 only.
std::vector<Backend> backends() {
  std::vector<Backend> chosen;
  for (const Backend& backend : kBackends) {
    const bool is_needed = !backend.is_simulated || backend.is_main_simulation();
    if (is_needed || is_full_run()) chosen.push_back(backend);
  }
  return chosen;
}

// The second save meets the fault. The first and the third must succeed.
struct Scenario {
  const char* name;
  Version first, second, third;
};

constexpr Scenario kScenarios[] = {
    {"new best, the loser is evicted", {1, 1, .5}, {2, 2, .4}, {3, 3, .3}},
    {"worse, last is replaced", {1, 1, .1}, {2, 2, .2}, {3, 3, .3}},
    {"repeated epoch, all are replaced", {1, 1, .5}, {2, 1, .4}, {3, 1, .3}},
};

struct Fault {
  std::string operation;  // of the file system; empty: the `index`-th completion of a write
  size_t index = 0;
  int error_number = 0;
};

// What stands when `newest` is the last save that was published.
Labels expected_labels(const Scenario& scenario, const Version& newest) {
  const Version& kept = newest.loss <= scenario.first.loss ? newest : scenario.first;
  Labels labels = {{".tintype.json", "document"}, {"_metrics.json", "document"}};
  const auto add = [&](std::string_view base, const Version& version) {
    labels[full_name(base, FileForm::plain)] = "full " + std::to_string(version.number);
    labels[light_name(base, FileForm::plain)] = "light " + std::to_string(version.number);
  };
  add(stem_of("train", kept.epoch), kept);
  add("best", kept);
  add("last", newest);
  return labels;
}

Labels without_temps(Labels labels) {
  std::erase_if(labels, [](const auto& entry) { return entry.second == "temp"; });
  return labels;
}

// Whether a save may meet an error there and succeed: it was looking or tidying up, or went on.
bool is_tolerable(const Fault& fault) {
  const bool is_write = fault.operation.empty() || fault.operation == "write_at";
  if (is_write && is_repeatable(fault.error_number)) return true;
  static const std::set<std::string> looking = {
      "available_bytes", "list",   "open",       "info",    "file_info",
      "read_at",         "remove", "set_direct", "try_lock"};
  return looking.contains(fault.operation);
}

struct Outcome {
  Status durable, published;
  bool has_fired = false;
};

class EngineFaults : public testing::TestWithParam<Backend> {
 protected:
  void SetUp() override {
    if (make_queue(GetParam().queue, 1) == nullptr) {
      GTEST_SKIP() << GetParam().queue << " is not to be had";
    }
    if (GetParam().is_simulated) {
      ASSERT_OK(disk_.create_directories("/runs"));
    }
    set_log_sink([this](std::string_view) { ++warnings_; });
  }
  void TearDown() override { set_log_sink({}); }

  void start_engine() {
    EngineOptions options{.staging_bytes = 256 << 10, .extent_bytes = 16 << 10, .copy_threads = 1};
    options.direct_io = GetParam().direct_io;
    options.file_system = &faulty_;
    options.make_write_queue = [this]() -> Result<std::unique_ptr<WriteQueue>> {
      auto rule = [this](const WriteRequest&, uint64_t) { return next_write_fault(); };
      return std::unique_ptr<WriteQueue>(
          std::make_unique<FaultWriteQueue>(make_queue(GetParam().queue, 4), std::move(rule)));
    };
    engine_ = std::move(Engine::create(std::move(options)).value());
  }

  WriteFault next_write_fault() {
    if (writes_until_fault_-- != 0) return {};
    ++write_faults_fired_;
    return write_fault_;
  }

  FileSystem& inner() {
    return GetParam().is_simulated ? static_cast<FileSystem&>(disk_) : posix_file_system();
  }

  // Those that the operation at this place of the save meets. Only writes can be short.
  static std::vector<int> errors_for(size_t position, const std::string& operation) {
    const size_t count = std::size(kInjectedErrors) - (operation == "write_at" ? 0 : 1);
    std::vector<int> errors(kInjectedErrors, kInjectedErrors + count);
    if (is_full_run() || GetParam().is_main_simulation()) return errors;
    return {errors[position % count], errors[(position + 5) % count]};
  }

  void start_run() {
    const std::string root = GetParam().is_simulated ? "/runs" : temp_.path();
    logdir_ = root + "/" + std::to_string(++run_count_);
    start_engine();
    open_run(false);
  }

  void open_run(bool is_resumed) {
    run_.reset();
    auto run = CheckpointRun::open({.logdir = logdir_,
                                    .file_system = &faulty_,
                                    .is_resumed = is_resumed,
                                    .storage_bytes = kStorageBytes});
    ASSERT_OK(run);
    run_ = std::move(run).value();
  }

  void forget_run() {
    run_.reset();
    GetParam().is_simulated ? disk_.forget_directory(logdir_)
                            : static_cast<void>(std::filesystem::remove_all(logdir_));
  }

  Labels labels() { return labels_in(inner(), logdir_ + "/checkpoints", kStorageBytes); }

  // The operations of the file system that an undisturbed second save makes.
  std::vector<FaultInjector::Operation> trace_of(const Scenario& scenario) {
    start_run();
    EXPECT_OK(run_->save(*engine_, scenario.first));
    injector_.reset();
    EXPECT_OK(run_->save(*engine_, scenario.second));
    auto trace = injector_.trace();
    EXPECT_EQ(labels(), expected_labels(scenario, scenario.second));
    return trace;
  }

  void arm(const Fault& fault) {
    injector_.reset();
    warnings_ = 0;
    write_faults_fired_ = 0;
    if (fault.operation.empty()) {
      write_fault_ = write_fault_of(fault.error_number);
      writes_until_fault_ = static_cast<int64_t>(fault.index);
    } else {
      injector_.fail_named(fault.operation, fault.error_number, fault.index);
    }
  }

  static WriteFault write_fault_of(int error_number) {
    if (error_number != kShortWrite) {
      return {.kind = WriteFault::Kind::result, .result = -error_number};
    }
    return {.kind = WriteFault::Kind::short_write, .passed_bytes = 4096};
  }

  size_t fired() const { return injector_.fired() + write_faults_fired_; }

  void disarm() {
    injector_.reset();
    writes_until_fault_ = -1;
  }

  // False when the save has no such operation.
  bool run_one(const Scenario& scenario, const Fault& fault, FaultCounts& counts) {
    SCOPED_TRACE(testing::Message() << scenario.name << ": " << fault.operation << " "
                                    << fault.index << " " << error_text(fault.error_number));
    start_run();
    EXPECT_OK(run_->save(*engine_, scenario.first));
    arm(fault);
    const Outcome outcome = save_second(scenario);
    EXPECT_LE(fired(), 1u);
    expect_good_error(outcome.published, fault);
    disarm();
    if (outcome.has_fired) count(outcome, counts);
    expect_what_section_7_says(scenario, fault, outcome);
    expect_next_save_and_resume(scenario);
    forget_run();
    return outcome.has_fired;
  }

  Outcome save_second(const Scenario& scenario) {
    Outcome outcome;
    const auto snapshot = run_->save_async(*engine_, scenario.second);
    outcome.published = outcome.durable = snapshot.status();
    if (snapshot.is_ok()) {
      outcome.published = *(*snapshot)->wait_published(std::nullopt);
      outcome.durable = *(*snapshot)->wait_durable(std::nullopt);
    }
    outcome.has_fired = fired() > 0;
    return outcome;
  }

  static void count(const Outcome& outcome, FaultCounts& counts) {
    ++counts.faults;
    if (!outcome.durable.is_ok()) {
      ++counts.failed;
    } else {
      ++(outcome.published.is_ok() ? counts.tolerated : counts.unpublished);
    }
  }

  void expect_good_error(const Status& status, const Fault& fault) {
    if (status.is_ok()) return;
    const std::string message = status.to_string();
    EXPECT_EQ(status.error_number(), fault.error_number);
    EXPECT_THAT(message, HasSubstr("[" + errno_name(fault.error_number) + ", errno "));
    EXPECT_THAT(message, HasSubstr("]; ")) << "no remedy";
    EXPECT_THAT(message, HasSubstr(logdir_));
    const bool is_write = fault.operation.empty() || fault.operation == "write_at";
    EXPECT_THAT(message, HasSubstr(is_write ? "write" : fault.operation));
  }

  void expect_what_section_7_says(const Scenario& scenario, const Fault& fault,
                                  const Outcome& outcome) {
    const Labels found = labels();
    if (!outcome.durable.is_ok()) {
      EXPECT_EQ(found, expected_labels(scenario, scenario.first));
      return;
    }
    if (outcome.published.is_ok()) {
      EXPECT_TRUE(!outcome.has_fired || is_tolerable(fault)) << "the error was ignored";
      Labels rest = without_temps(found);
      for (const auto& entry : expected_labels(scenario, scenario.second)) {
        EXPECT_EQ(rest[entry.first], entry.second) << entry.first;
        rest.erase(entry.first);
      }
      // An eviction that failed was said, and only a loser stays.
      EXPECT_LE(rest.size(), 2u);
      EXPECT_TRUE(rest.empty() || warnings_ > 0);
      return;
    }
    for (const auto& [name, label] : found) EXPECT_NE(label, "torn") << name;
    expect_durable_under_its_own_name(scenario, found);
  }

  void expect_durable_under_its_own_name(const Scenario& scenario, const Labels& found) {
    const bool is_numbered = scenario.second.loss <= scenario.first.loss;
    const std::string base = is_numbered ? stem_of("train", scenario.second.epoch) : "last";
    EXPECT_EQ(found.at(full_name(base, FileForm::plain)), "full 2");
    EXPECT_EQ(found.at(light_name(base, FileForm::plain)), "light 2");
  }

  void expect_next_save_and_resume(const Scenario& scenario) {
    EXPECT_OK(run_->save(*engine_, scenario.third));
    EXPECT_EQ(without_temps(labels()), expected_labels(scenario, scenario.third));
    engine_.reset();  // what it still holds open is no orphan
    open_run(true);
    EXPECT_EQ(labels(), expected_labels(scenario, scenario.third));
    const auto point = run_->directory().find_resume_point("last");
    ASSERT_OK(point);
    EXPECT_EQ(point->epoch, scenario.third.epoch);
    run_.reset();
  }

  void run_matrix() {
    FaultCounts counts;
    size_t position = 0;
    for (const Scenario& scenario : kScenarios) {
      std::map<std::string, size_t> seen;
      for (const auto& operation : trace_of(scenario)) {
        const size_t index = seen[operation.name]++;
        for (const int error_number : errors_for(position++, operation.name)) {
          if (HasFatalFailure()) return;
          EXPECT_TRUE(run_one(scenario, {operation.name, index, error_number}, counts))
              << operation.name << " " << index << " did not fire";
          ++counts.fired[protocol_step(operation)][error_number];
        }
      }
    }
    print(GetParam().name, counts);
    EXPECT_GE(5 * counts.failed, counts.faults);
    EXPECT_GE(5 * counts.unpublished, counts.faults);
  }

  TempDir temp_{is_full_run() ? std::filesystem::temp_directory_path() : fast_parent()};
  SimulatedDisk disk_{GetParam().disk};
  FaultInjector injector_;
  FaultFileSystem faulty_{inner(), injector_};
  std::atomic<int64_t> writes_until_fault_ = -1;
  std::atomic<size_t> write_faults_fired_ = 0;
  std::atomic<size_t> warnings_ = 0;
  WriteFault write_fault_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<CheckpointRun> run_;
  std::string logdir_;
  int run_count_ = 0;
};

TEST_P(EngineFaults, every_operation_of_the_file_system) { run_matrix(); }

TEST_P(EngineFaults, every_completion_of_a_write) {
  FaultCounts counts;
  for (const Scenario& scenario : kScenarios) {
    for (const int error_number : kInjectedErrors) {
      size_t index = 0;
      while (run_one(scenario, {"", index, error_number}, counts)) ++index;
      EXPECT_GE(index, 6u);
      counts.fired["4 write (completions)"][error_number] += index;
    }
  }
  print(GetParam().name, counts);
  EXPECT_EQ(counts.unpublished, 0u);
  EXPECT_EQ(3 * counts.failed, 9 * counts.tolerated) << "three errors of twelve are repeatable";
}

INSTANTIATE_TEST_SUITE_P(Backends, EngineFaults, testing::ValuesIn(backends()),
                         [](const auto& param) { return param.param.name; });

}  // namespace
}  // namespace tintype
