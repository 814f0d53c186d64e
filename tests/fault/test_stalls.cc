// A disk that hangs: a save without progress fails in time, the memory and files that the kernel
// may still use stay untouched until it answers, and the engine can be used, closed and destroyed.
#include <atomic>
#include <cerrno>
#include <chrono>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/log.h"
#include "tests/support/checkpoint_run.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/fault_write_queue.h"
#include "tests/support/gate.h"
#include "tests/support/seeded_save.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kStallTimeoutMs = 300;
constexpr seconds kPatience{60};
constexpr seconds kBusyMachine{5};  // for what takes no time

// A file system and a queue where one operation hangs. Lives as long as a leaked engine may.
class HangingDisk {
 public:
  explicit HangingDisk(std::string queue_name) : queue_name_(std::move(queue_name)) {
    injector_.set_observer([this](const FaultInjector::Operation& operation) {
      if (operation.name == hung_operation_ && is_armed_.exchange(false)) gate_->pass();
    });
  }

  // From now on the next operation of this name hangs; "": the next write of the queue.
  void hang_at(std::string operation) {
    gate_ = std::make_shared<Gate>();
    hung_operation_ = std::move(operation);
    is_armed_ = true;
  }
  bool has_hung() const { return !is_armed_; }
  void answer() { gate_->open(); }

  FileSystem& file_system() { return faulty_; }

  std::unique_ptr<WriteQueue> make_write_queue() {
    return std::make_unique<FaultWriteQueue>(
        make_queue(queue_name_, 4), [this](const WriteRequest&, uint64_t) {
          if (!hung_operation_.empty() || !is_armed_.exchange(false)) return WriteFault{};
          return WriteFault{.kind = WriteFault::Kind::held, .gate = gate_};
        });
  }

 private:
  const std::string queue_name_;
  FaultInjector injector_;
  FaultFileSystem faulty_{posix_file_system(), injector_};
  std::string hung_operation_;
  std::shared_ptr<Gate> gate_ = std::make_shared<Gate>();
  std::atomic<bool> is_armed_ = false;
};

std::unique_ptr<Engine> make_engine(HangingDisk& disk, EngineOptions options = {}) {
  if (options.stall_timeout_ms == EngineOptions().stall_timeout_ms) {
    options.stall_timeout_ms = kStallTimeoutMs;
  }
  options.file_system = &disk.file_system();
  options.make_write_queue = [&disk]() -> Result<std::unique_ptr<WriteQueue>> {
    return disk.make_write_queue();
  };
  return make_small_engine(std::move(options));
}

template <typename Condition>
bool is_soon(const Condition& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

// Waits at most kPatience: a test of hangs should not hang itself.
Status durable(const Result<std::shared_ptr<Snapshot>>& snapshot) {
  if (!snapshot.is_ok()) return snapshot.status();
  return (*snapshot)->wait_durable(kPatience).value_or(Status::internal("still waiting"));
}

void expect_stall_error(const Status& status, const std::string& path) {
  EXPECT_EQ(status.error_number(), ETIMEDOUT);
  EXPECT_EQ(status.code(), StatusCode::io_error);
  const std::string message = status.to_string();
  EXPECT_THAT(message, HasSubstr("save '" + path + "'"));
  EXPECT_THAT(message, HasSubstr("[ETIMEDOUT, errno "));
  EXPECT_THAT(message, HasSubstr("; the storage did not answer in time")) << "no remedy";
}

class Stalls : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (make_queue(GetParam(), 1) == nullptr) GTEST_SKIP() << GetParam() << " is not to be had";
    disk_ = std::make_unique<HangingDisk>(GetParam());
    engine_ = make_engine(*disk_);
    ASSERT_OK(SeededSave(1).run(*engine_, path()));
  }
  void TearDown() override { set_log_sink({}); }

  std::string path() const { return directory_ / "x.pth"; }

  // One save meets the hang and fails; the next is refused; when the disk answers all is well.
  void hang_and_answer(const std::string& operation) {
    SCOPED_TRACE(operation.empty() ? "a write" : operation);
    disk_->hang_at(operation);
    const Status status = durable(SeededSave(2).start(*engine_, path()));
    EXPECT_TRUE(disk_->has_hung());
    expect_stall_error(status, path());
    EXPECT_THAT(status.to_string(), HasSubstr("no progress for 0.3 s"));
    EXPECT_EQ(engine_->stats().saves_stalled, 1u);
    EXPECT_OK(engine_->wait());

    const auto start = std::chrono::steady_clock::now();
    const Status refused = SeededSave(3).start(*engine_, path()).status();
    EXPECT_LT(std::chrono::steady_clock::now() - start, kBusyMachine);
    expect_stall_error(refused, path());
    EXPECT_THAT(refused.to_string(), HasSubstr("refused"));
    expect_stall_error(engine_->prepare(1 << 20), "");

    disk_->answer();
    EXPECT_TRUE(is_soon([&] { return engine_->stats().saves_stalled == 0; }));
  }

  void expect_next_save() {
    EXPECT_OK(SeededSave(4).run(*engine_, path()));
    EXPECT_TRUE(SeededSave(4).is_held_by(path()));
    EXPECT_THAT(directory_.names(), ElementsAre("x.pth"));
  }

  TempDir directory_;
  std::unique_ptr<HangingDisk> disk_;
  std::unique_ptr<Engine> engine_;
};

TEST_P(Stalls, a_write_that_never_completes_fails_its_save_and_the_old_file_stands) {
  hang_and_answer("");
  EXPECT_TRUE(SeededSave(1).is_held_by(path()));
  expect_next_save();
}

TEST_P(Stalls, every_step_up_to_8b_may_hang_and_the_old_file_stands) {
  for (const char* operation : {"create_unnamed", "try_lock", "allocate", "set_direct", "truncate",
                                "sync_data", "link_unnamed"}) {
    hang_and_answer(operation);
    EXPECT_TRUE(SeededSave(1).is_held_by(path())) << operation;
    EXPECT_THAT(directory_.names(), ElementsAre("x.pth")) << operation;
  }
  expect_next_save();
}

TEST_P(Stalls, from_8b_on_the_error_says_that_the_new_file_may_stand) {
  for (const char* operation : {"exchange", "sync"}) {
    disk_->hang_at(operation);
    const auto snapshot = SeededSave(2).start(*engine_, path());
    const Status status = durable(snapshot);
    EXPECT_TRUE(disk_->has_hung());
    expect_stall_error(status, path());
    EXPECT_THAT(status.to_string(), HasSubstr("the new file may stand")) << operation;
    EXPECT_EQ((*snapshot)->report().state, SnapshotState::failed);
    disk_->answer();
    EXPECT_TRUE(is_soon([&] { return engine_->stats().saves_stalled == 0; }));
    EXPECT_EQ((*snapshot)->report().state, SnapshotState::failed) << "a final state stays";
    EXPECT_EQ(durable(snapshot).error_number(), ETIMEDOUT);
    EXPECT_TRUE(SeededSave(2).is_held_by(path())) << "the rename went through after all";
  }
  expect_next_save();
}

TEST_P(Stalls, memory_of_a_stalled_write_is_not_used_again_before_it_completes) {
  // The hung write keeps its slot; a save three times the pool uses all others over and over.
  // Time enough to start the other one before the first is given up.
  engine_ = make_engine(*disk_, {.queue_depth = 2, .max_in_flight = 4, .stall_timeout_ms = 3'000});
  disk_->hang_at("");
  const std::string other = directory_ / "y.pth";
  const auto hung = SeededSave(5, 60'000).start(*engine_, path());
  const auto later = SeededSave(6, 6 << 20).start(*engine_, other);
  EXPECT_EQ(durable(hung).error_number(), ETIMEDOUT);
  EXPECT_OK(durable(later)) << "it was under way, and its own writes complete";
  EXPECT_TRUE(SeededSave(6, 6 << 20).is_held_by(other));
  EXPECT_TRUE(SeededSave(1).is_held_by(path()));
  disk_->answer();
  EXPECT_TRUE(is_soon([&] { return engine_->stats().saves_stalled == 0; }));
  EXPECT_OK(SeededSave(7).run(*engine_, path()));
}

TEST_P(Stalls, an_engine_on_a_hanging_disk_can_be_closed_and_destroyed) {
  for (const std::string operation : {"", "allocate", "sync_data", "sync"}) {
    SCOPED_TRACE(operation.empty() ? "a write" : operation);
    // Left to the threads of the engine that is left behind.
    auto* disk = new HangingDisk(GetParam());
    auto engine = make_engine(*disk);
    disk->hang_at(operation);
    const auto snapshot = SeededSave(2).start(*engine, directory_ / "y.pth");
    std::string warning;
    set_log_sink([&](std::string_view message) { warning = message; });
    const auto start = std::chrono::steady_clock::now();
    EXPECT_OK(engine->close());
    engine.reset();
    EXPECT_LT(std::chrono::steady_clock::now() - start, kPatience / 2);
    set_log_sink({});
    EXPECT_TRUE(disk->has_hung());
    EXPECT_THAT(warning, HasSubstr("an engine is left behind"));
    EXPECT_EQ(durable(snapshot).error_number(), ETIMEDOUT) << "a snapshot outlives its engine";
    disk->answer();
    EXPECT_TRUE(is_soon([&] {  // what was left behind tidies up
      const auto names = directory_.names();
      return names.size() == (operation == "sync" ? 2u : 1u);
    }));
    std::filesystem::remove(directory_ / "y.pth");
  }
}

TEST_P(Stalls, a_slow_disk_that_gets_on_is_not_given_up_nor_is_a_save_behind_it) {
  constexpr uint64_t kPatientMs = 2000;
  // Each write takes 90 ms, the whole save longer than a stalled one would get.
  engine_ = make_engine(*disk_, {.byte_rate_limit = 700'000, .stall_timeout_ms = kPatientMs});
  const auto start = std::chrono::steady_clock::now();
  const auto slow = SeededSave(2, 2 << 20).start(*engine_, path());
  const auto behind = SeededSave(3, 1000).start(*engine_, directory_ / "y.pth");
  EXPECT_OK(durable(slow));
  EXPECT_OK(durable(behind));
  EXPECT_GT(std::chrono::steady_clock::now() - start, milliseconds(kPatientMs));
}

TEST_P(Stalls, a_hang_while_publishing_leaves_the_files_durable) {
  auto run = CheckpointRun::open({.logdir = directory_ / "run",
                                  .file_system = &disk_->file_system(),
                                  .storage_bytes = 40'000});
  ASSERT_OK(run);
  ASSERT_OK((*run)->save(*engine_, {1, 1, .5}));
  disk_->hang_at("link");
  const auto snapshot = (*run)->save_async(*engine_, {2, 2, .4});
  ASSERT_OK(snapshot);
  EXPECT_OK(durable(snapshot));
  const auto published = (*snapshot)->wait_published(kPatience);
  ASSERT_TRUE(published.has_value());
  EXPECT_TRUE(disk_->has_hung());
  EXPECT_EQ(published->error_number(), ETIMEDOUT);
  EXPECT_THAT(published->to_string(), HasSubstr("its files are durable"));
  EXPECT_EQ((*run)->save(*engine_, {3, 3, .3}).error_number(), ETIMEDOUT);
  disk_->answer();
  EXPECT_TRUE(is_soon([&] { return engine_->stats().saves_stalled == 0; }));
  EXPECT_OK((*run)->save(*engine_, {4, 4, .2}));
  const auto labels = labels_in(posix_file_system(), directory_ / "run/checkpoints", 40'000);
  EXPECT_EQ(labels.at("best_full.pth"), "full 4");
  EXPECT_EQ(labels.at("last.pth"), "light 4");
  EXPECT_EQ(labels.size(), 8u) << "two names of three, twice, and two documents";
}

INSTANTIATE_TEST_SUITE_P(Queues, Stalls, testing::ValuesIn(queue_names()),
                         [](const auto& param) { return param.param; });

TEST(Stalls, a_pwrite_thread_that_hangs_fails_its_save) {
  const TempDir directory;
  HangingDisk disk("pwrite");
  auto engine = make_engine(disk);
  disk.hang_at("write_at");
  EXPECT_EQ(durable(SeededSave(1).start(*engine, directory / "x.pth")).error_number(), ETIMEDOUT);
  EXPECT_TRUE(disk.has_hung());
  EXPECT_THAT(directory.names(), ElementsAre());
  disk.answer();
  EXPECT_TRUE(is_soon([&] { return engine->stats().saves_stalled == 0; }));
  EXPECT_OK(SeededSave(2).run(*engine, directory / "x.pth"));
}

TEST(Stalls, zero_waits_for_ever_and_nonsense_is_refused) {
  const TempDir directory;
  HangingDisk disk("pwrite");
  EngineOptions options{.stall_timeout_ms = 0};
  auto engine = make_engine(disk, options);
  disk.hang_at("sync_data");
  const auto snapshot = SeededSave(1).start(*engine, directory / "x.pth");
  ASSERT_OK(snapshot);
  EXPECT_EQ((*snapshot)->wait_durable(milliseconds(5 * kStallTimeoutMs)), std::nullopt);
  disk.answer();
  EXPECT_OK(durable(snapshot));
  EXPECT_THAT(Engine::create({.stall_timeout_ms = UINT64_MAX}),
              IsStatus(StatusCode::invalid_argument, HasSubstr("stall_timeout_ms")));
}

}  // namespace
}  // namespace tintype
