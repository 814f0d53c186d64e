// A training loop that changes everything at every step, and guarded saves at random moments: a
// file that is accepted holds the state at the call.
#include <cstdlib>
#include <deque>
#include <iostream>
#include <thread>

#include "base/log.h"
#include "engine/engine.h"
#include "tests/support/fault_write_queue.h"
#include "tests/support/guarded_state.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

using std::chrono::microseconds;

constexpr size_t kSaves = 100;
constexpr size_t kSavesFull = 2000;
constexpr size_t kStateBytes = 1'400'000;
constexpr uint64_t kPoolBytes = 512 << 10;
constexpr size_t kMutators = 3;

size_t save_count() {
  return std::getenv("TINTYPE_FULL") != nullptr ? kSavesFull : kSaves;  // NOLINT
}

// Storages of 1.4 MB, cut at random.
std::vector<size_t> random_sizes(std::mt19937_64& random) {
  std::vector<size_t> sizes;
  for (size_t left = kStateBytes; left > 0;) {
    const size_t size = std::min<size_t>(left, 4 * (random() % 60'000));
    sizes.push_back(size);
    left -= size;
  }
  return sizes;
}

// What to write to each storage next, so that the mutators only copy: fast, and at the same time.
class Mutators {
 public:
  explicit Mutators(GuardedState& state) : state_(state) {}

  void step(uint64_t value, bool is_lazy) {
    std::vector<std::jthread> threads;
    for (size_t t = 0; t < kMutators; ++t) {
      threads.emplace_back([=, this] {
        for (size_t i = t; i < state_.size(); i += kMutators) {
          if (GuardedState::is_lazy(i) == is_lazy) overwrite(state_.memory(i), value);
        }
      });
    }
  }

 private:
  static void overwrite(ByteVector& bytes, uint64_t value) {
    for (size_t i = 0; i + sizeof(value) <= bytes.size(); i += sizeof(value)) {
      const uint64_t mixed = value + i;
      std::memcpy(bytes.data() + i, &mixed, sizeof(mixed));
    }
  }

  GuardedState& state_;
};

class TrainingLoop {
 public:
  explicit TrainingLoop(uint64_t seed)
      : random_(seed), state_(seed, random_sizes(random_)), mutators_(state_) {
    EngineOptions options;
    options.staging_bytes = kPoolBytes;
    options.extent_bytes = 64 << 10;
    options.copy_threads = 2;
    options.make_write_queue = [this]() -> Result<std::unique_ptr<WriteQueue>> {
      return std::unique_ptr<WriteQueue>(std::make_unique<FaultWriteQueue>(
          make_queue("pwrite", 4), [this](const WriteRequest&, uint64_t) {
            std::this_thread::sleep_for(microseconds(disk_random_() % 400));
            return WriteFault{};
          }));
    };
    engine_ = std::move(Engine::create(std::move(options)).value());
  }

  void run(size_t saves) {
    for (uint64_t step = 1; started_ < saves; ++step) {
      if (random_() % 3 == 0) save();
      mutators_.step(random_(), false);  // buffers change in the forward pass
      std::this_thread::sleep_for(microseconds(random_() % 3000));
      ASSERT_OK(engine_->before_mutation());
      mutators_.step(random_(), true);
      check(2);
    }
    check(0);
  }

  size_t accepted() const { return accepted_; }
  size_t waited() const { return waited_; }

 private:
  struct Save {
    std::string path;
    std::string at_call;
    std::shared_ptr<Snapshot> snapshot;
  };

  void save() {
    Save save;
    save.path = directory_ / std::to_string(started_++ % 4);
    save.at_call = state_.image();
    save.snapshot = engine_->save_async(state_.request(save.path, &witness_)).value();
    saves_.push_back(std::move(save));
  }

  // Reads back all but the `kept` newest.
  void check(size_t kept) {
    for (; saves_.size() > kept; saves_.pop_front()) {
      const Save& save = saves_.front();
      ASSERT_OK(*save.snapshot->wait_durable(std::nullopt));
      ASSERT_TRUE(read_text(save.path) == save.at_call) << "torn: " << save.path;
      ++accepted_;
      if (save.snapshot->report().guard_wait_ns > 100'000) ++waited_;
    }
  }

  const TempDir directory_{fast_parent()};
  std::mt19937_64 random_;
  std::mt19937_64 disk_random_{7};
  GuardedState state_;
  Mutators mutators_;
  WitnessRecord witness_;
  std::unique_ptr<Engine> engine_;
  std::deque<Save> saves_;
  size_t started_ = 0;
  size_t accepted_ = 0;
  size_t waited_ = 0;
};

TEST(TornStates, accepted_files_hold_the_state_at_the_call) {
  set_log_sink([](std::string_view) {});  // what cannot be hidden is no news here
  size_t accepted = 0;
  size_t waited = 0;
  const size_t loops = 4;
  for (uint64_t seed = 1; seed <= loops; ++seed) {
    TrainingLoop loop(seed);
    loop.run(save_count() / loops);
    if (HasFatalFailure()) return;
    accepted += loop.accepted();
    waited += loop.waited();
  }
  std::cout << accepted << " guarded saves accepted, 0 torn; before_mutation had to wait in "
            << waited << "\n";
  EXPECT_EQ(accepted, save_count());
  EXPECT_GT(waited, accepted / 10) << "the test provokes nothing";
}

}  // namespace
}  // namespace tintype
