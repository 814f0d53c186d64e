// Guarded saves in host memory: what is copied when, what before_mutation() waits for, and what a
// tear does.
#include <cerrno>
#include <chrono>
#include <thread>

#include "base/log.h"
#include "engine/engine.h"
#include "tests/support/child_process.h"
#include "tests/support/fault_write_queue.h"
#include "tests/support/gate.h"
#include "tests/support/guarded_state.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::HasSubstr;

constexpr uint64_t kExtentBytes = 64 << 10;
constexpr uint64_t kPoolBytes = 8 * kExtentBytes;

// An engine whose disk writes nothing until the gate is open: a state larger than the pool cannot
// be staged meanwhile.
class GuardTest : public testing::Test {
 protected:
  GuardTest() : directory_(fast_parent()) { open_engine({}); }

  // A write that meets the closed gate is held by it, or meets another fault.
  void open_engine(EngineOptions options, const WriteFault& fault = {}) {
    options.staging_bytes = kPoolBytes;
    options.extent_bytes = kExtentBytes;
    options.copy_threads = 2;
    options.make_write_queue = [this, fault]() -> Result<std::unique_ptr<WriteQueue>> {
      return std::unique_ptr<WriteQueue>(std::make_unique<FaultWriteQueue>(
          make_queue("pwrite", 4), [this, fault](const WriteRequest&, uint64_t) {
            if (disk_->is_open()) return WriteFault{};
            if (fault.kind != WriteFault::Kind::none) return fault;
            return WriteFault{.kind = WriteFault::Kind::held, .gate = disk_};
          }));
    };
    engine_ = std::move(Engine::create(std::move(options)).value());
  }
  ~GuardTest() override { disk_->open(); }

  std::string path() const { return directory_ / "x.pth"; }

  std::shared_ptr<Snapshot> save() {
    return engine_->save_async(state_.request(path(), &witness_)).value();
  }

  const TempDir directory_;
  std::shared_ptr<Gate> disk_ = std::make_shared<Gate>();
  WitnessRecord witness_;
  GuardedState state_{1, {3 << 20, 40'000, 500'000, 0, 0, 4, 2 << 20}};
  std::unique_ptr<Engine> engine_;
};

TEST_F(GuardTest, returns_while_lazy_bytes_are_still_to_be_copied) {
  const std::string at_call = state_.image();
  const auto snapshot = save();
  state_.mutate_eager();
  EXPECT_FALSE(snapshot->wait_staged(milliseconds(50)).has_value());
  disk_->open();
  ASSERT_OK(engine_->before_mutation());
  state_.mutate_lazy();
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(path()) == at_call);
  EXPECT_EQ(witness_.asked, 1);
  const SnapshotReport report = snapshot->report();
  EXPECT_EQ(report.eager_bytes, 40'004u);
  EXPECT_EQ(report.lazy_bytes, (5u << 20) + 500'000u);
}

TEST_F(GuardTest, before_mutation_waits_and_the_report_says_how_long) {
  const auto snapshot = save();
  const uint64_t blocking_before_ns = snapshot->report().blocking_ns;
  std::thread opener([this] {
    std::this_thread::sleep_for(milliseconds(100));
    disk_->open();
  });
  ASSERT_OK(engine_->before_mutation());
  state_.mutate_lazy();
  opener.join();
  const SnapshotReport report = snapshot->report();
  EXPECT_GE(report.guard_wait_ns, 80'000'000u);
  EXPECT_GE(report.blocking_ns, blocking_before_ns + report.guard_wait_ns);
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
  ASSERT_OK(engine_->before_mutation());
  EXPECT_EQ(snapshot->report().guard_wait_ns, report.guard_wait_ns);
}

TEST_F(GuardTest, cancelled_save_lets_before_mutation_return) {
  const auto snapshot = save();
  std::thread canceller([&] {
    std::this_thread::sleep_for(milliseconds(50));
    EXPECT_TRUE(snapshot->cancel());
  });
  ASSERT_OK(engine_->before_mutation());
  canceller.join();
  state_.mutate_lazy();
  disk_->open();
  EXPECT_EQ(snapshot->wait_durable(std::nullopt)->code(), StatusCode::cancelled);
  EXPECT_THAT(directory_.names(), ElementsAre());
}

TEST_F(GuardTest, interrupted_before_mutation_leaves_the_save_going_on) {
  const std::string at_call = state_.image();
  const auto snapshot = save();
  EXPECT_THAT(engine_->before_mutation([] { return true; }),
              IsStatus(StatusCode::interrupted, HasSubstr("goes on")));
  disk_->open();
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(path()) == at_call);
}

TEST_F(GuardTest, interrupt_in_the_call_cancels_and_cleans_up) {
  const auto first = save();  // holds the turn
  const auto result = engine_->save_async(state_.request(path(), &witness_), [] { return true; });
  EXPECT_THAT(result, IsStatus(StatusCode::interrupted, HasSubstr("interrupted")));
  disk_->open();
  ASSERT_OK(*first->wait_durable(std::nullopt));
  EXPECT_EQ(witness_.asked, 1);
}

TEST_F(GuardTest, witness_that_saw_a_change_fails_the_save_and_names_the_tensors) {
  disk_->open();
  ASSERT_OK(*save()->wait_durable(std::nullopt));
  const std::string old = read_text(path());
  state_.mutate_eager();
  witness_.changed = [] { return std::vector<uint32_t>{6, 0}; };
  EXPECT_THAT(*save()->wait_durable(std::nullopt),
              IsStatus(StatusCode::torn, HasSubstr("'model/t0', 'model/t6' changed before")));
  EXPECT_THAT(witness_.torn, ElementsAre(0, 6));
  EXPECT_TRUE(read_text(path()) == old);
  EXPECT_THAT(directory_.names(), ElementsAre("x.pth"));
}

// The job may go on changing what it was told not to.
TEST_F(GuardTest, witness_is_not_asked_by_a_wait_that_is_interrupted) {
  const auto snapshot = save();
  EXPECT_EQ(engine_->before_mutation([] { return true; }).code(), StatusCode::interrupted);
  EXPECT_EQ(witness_.asked, 0);
  witness_.changed = [] { return std::vector<uint32_t>{2}; };
  disk_->open();
  EXPECT_EQ(snapshot->wait_durable(std::nullopt)->code(), StatusCode::torn);
  EXPECT_EQ(witness_.asked, 1);
}

// What a signal handler does that saves.
TEST_F(GuardTest, a_save_that_begins_while_another_is_waited_for_is_waited_for_too) {
  const auto first = save();
  std::shared_ptr<Snapshot> second;
  ASSERT_OK(engine_->before_mutation([&] {
    disk_->open();
    if (second == nullptr) second = save();
    return false;
  }));
  EXPECT_GT(first->report().guard_wait_ns, 0u);
  EXPECT_GT(second->report().guard_wait_ns, 0u);
  state_.mutate_lazy();
  ASSERT_OK(*second->wait_durable(std::nullopt));
  EXPECT_EQ(witness_.asked, 2);
}

// What a tear is: the job writes where the engine still reads. ThreadSanitizer is right about it.
#if !defined(__SANITIZE_THREAD__)
TEST_F(GuardTest, probes_see_a_change_that_the_witness_does_not) {
  const auto snapshot = save();
  state_.mutate(6);  // behind what the pool can hold
  disk_->open();
  EXPECT_THAT(*snapshot->wait_durable(std::nullopt),
              IsStatus(StatusCode::torn, HasSubstr("'model/t6' changed")));
  EXPECT_THAT(directory_.names(), ElementsAre());
}

TEST_F(GuardTest, probes_see_a_change_behind_the_copy_by_reading_the_source_again) {
  const auto snapshot = save();
  std::this_thread::sleep_for(milliseconds(100));  // its head is in the pool by now
  for (size_t i = 0; i < kExtentBytes; ++i) state_.memory(0)[i] ^= std::byte{1};
  for (size_t i = 0; i < (1u << 20); ++i) state_.memory(0)[i] ^= std::byte{2};
  disk_->open();
  EXPECT_EQ(snapshot->wait_durable(std::nullopt)->code(), StatusCode::torn);
  EXPECT_THAT(witness_.torn, ElementsAre(0));
}
#endif

TEST_F(GuardTest, storages_are_kept_until_they_were_copied_and_no_longer) {
  auto owner = std::make_shared<int>(0);
  SaveRequest request = state_.request(path(), &witness_);
  request.storage_owner = owner;
  const auto snapshot = engine_->save_async(std::move(request)).value();
  EXPECT_EQ(owner.use_count(), 2);
  disk_->open();
  ASSERT_OK(*snapshot->wait_staged(std::nullopt));
  EXPECT_EQ(owner.use_count(), 1);
}

TEST_F(GuardTest, default_save_behind_a_guarded_one_waits_for_its_turn) {
  const std::string at_call = state_.image();
  const auto guarded = save();
  std::thread opener([this] {
    std::this_thread::sleep_for(milliseconds(50));
    disk_->open();
  });
  const auto second = engine_->save_async(state_.request(directory_ / "y.pth", nullptr)).value();
  opener.join();
  EXPECT_GE(second->report().busy_wait_ns, 30'000'000u);
  state_.mutate_lazy();  // the second one's return says that the first has staged, too
  ASSERT_OK(*guarded->wait_durable(std::nullopt));
  ASSERT_OK(*second->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(path()) == at_call);
  EXPECT_TRUE(read_text(directory_ / "y.pth") == at_call);
}

TEST_F(GuardTest, save_that_is_given_up_lets_before_mutation_return) {
  open_engine({.stall_timeout_ms = 200});
  const auto snapshot = save();
  ASSERT_OK(engine_->before_mutation());
  state_.mutate_lazy();
  EXPECT_EQ(snapshot->wait_durable(std::nullopt)->error_number(), ETIMEDOUT);
  disk_->open();
  while (engine_->stats().saves_stalled > 0) std::this_thread::sleep_for(milliseconds(1));
}

TEST_F(GuardTest, failing_disk_lets_before_mutation_return) {
  open_engine({}, WriteFault{.kind = WriteFault::Kind::result, .result = -EIO});
  const auto snapshot = save();
  ASSERT_OK(engine_->before_mutation());
  state_.mutate_lazy();
  EXPECT_EQ(snapshot->wait_durable(std::nullopt)->error_number(), EIO);
}

TEST_F(GuardTest, forked_child_does_not_wait) {
  const auto snapshot = save();
  EXPECT_TRUE(passes_in_child([&] { EXPECT_OK(engine_->before_mutation()); }));
  disk_->open();
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
}

TEST_F(GuardTest, storage_of_a_device_that_is_not_there_is_refused) {
  SaveRequest request = state_.request(path(), nullptr);
  request.storages[1].device = 0;
  EXPECT_THAT(engine_->save_async(std::move(request)),
              IsStatus(StatusCode::invalid_argument, HasSubstr("names a device")));
  request = state_.request(path(), nullptr);
  request.devices.emplace_back();
  EXPECT_THAT(engine_->save_async(std::move(request)),
              IsStatus(StatusCode::invalid_argument, HasSubstr("is null")));
}

TEST_F(GuardTest, closing_waits_for_the_background) {
  const std::string at_call = state_.image();
  const auto snapshot = save();
  std::thread opener([this] {
    std::this_thread::sleep_for(milliseconds(50));
    disk_->open();
  });
  ASSERT_OK(engine_->close());
  opener.join();
  EXPECT_TRUE(snapshot->is_done());
  EXPECT_TRUE(read_text(path()) == at_call);
  ASSERT_OK(engine_->before_mutation());
}

// The disk is paced, so that what is told can be compared with what happens.
TEST(GuardBudget, wait_is_told_before_it_happens_and_logged_once) {
  const TempDir directory(fast_parent());
  std::vector<std::string> lines;
  set_log_sink([&](std::string_view line) { lines.emplace_back(line); });
  WitnessRecord witness;
  GuardedState state(1, {16 << 20});
  auto engine = std::move(
      Engine::create(
          {.staging_bytes = 2 << 20, .extent_bytes = 128 << 10, .byte_rate_limit = 64 << 20})
          .value());
  SnapshotReport report;
  for (int i = 0; i < 4; ++i) {
    const auto snapshot = engine->save_async(state.request(directory / "x.pth", &witness)).value();
    std::this_thread::sleep_for(milliseconds(50));
    ASSERT_OK(engine->before_mutation());
    ASSERT_OK(*snapshot->wait_durable(std::nullopt));
    report = snapshot->report();
    if (i == 0) {
      EXPECT_EQ(report.guard_wait_ns_predicted, 0u) << "nothing was measured yet";
    }
  }
  set_log_sink({});
  // At most 64 MiB/s for 14 MiB, less the step of 50 ms: 170 ms and more on a busy machine.
  const auto predicted_ns = static_cast<double>(report.guard_wait_ns_predicted);
  EXPECT_GE(predicted_ns, 150e6);
  EXPECT_NEAR(predicted_ns / static_cast<double>(report.guard_wait_ns), 1, 0.5);
  EXPECT_GT(report.hidden_bytes_predicted, 2u << 20);
  EXPECT_LT(report.hidden_bytes_predicted, 7u << 20);
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_THAT(lines[0], HasSubstr("a guarded save cannot be hidden whole"));
}

}  // namespace
}  // namespace tintype
