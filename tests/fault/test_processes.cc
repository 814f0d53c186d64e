// Signals and forks while saves are under way.
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "tests/support/checkpoint_run.h"
#include "tests/support/child_process.h"
#include "tests/support/seeded_save.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::atomic<uint64_t> signal_count = 0;

// SIGALRM every millisecond to a handler without SA_RESTART, as long as this lives.
class SignalStorm {
 public:
  SignalStorm() {
    struct sigaction action = {};
    action.sa_handler = [](int) { ++signal_count; };
    ::sigaction(SIGALRM, &action, &before_);
    set_period(1000);
  }
  ~SignalStorm() {
    set_period(0);
    ::sigaction(SIGALRM, &before_, nullptr);
  }

 private:
  static void set_period(suseconds_t microseconds) {
    const struct itimerval timer = {.it_interval = {0, microseconds},
                                    .it_value = {0, microseconds}};
    ::setitimer(ITIMER_REAL, &timer, nullptr);
  }
  struct sigaction before_ = {};
};

void save_in_a_storm(const TempDir& temp, uint64_t save_count) {
  constexpr size_t kStorageBytes = 200'000;
  auto engine = make_small_engine();
  const SignalStorm storm;
  auto run = CheckpointRun::open({.logdir = temp.path(),
                                  .file_system = &posix_file_system(),
                                  .save_n_best = 2,
                                  .storage_bytes = kStorageBytes});
  ASSERT_OK(run);
  for (uint64_t i = 1; i <= save_count; ++i) {
    ASSERT_OK((*run)->save(*engine, {i, i, 1.0 / static_cast<double>(i)}));
  }
  const auto labels = labels_in(posix_file_system(), temp / "checkpoints", kStorageBytes);
  EXPECT_EQ(labels.at("best_full.pth"), "full " + std::to_string(save_count));
  EXPECT_EQ(labels.at("last.pth"), "light " + std::to_string(save_count));
  EXPECT_EQ(labels.size(), 10u);
}

TEST(SignalStorm, breaks_none_of_200_saves_on_tmpfs) {
  signal_count = 0;
  save_in_a_storm(TempDir(fast_parent()), 200);
  std::cout << signal_count << " signals\n";
  EXPECT_GT(signal_count, 20u);
}

TEST(SignalStorm, breaks_no_save_on_disk) {
  signal_count = 0;
  save_in_a_storm(TempDir(), 40);
  std::cout << signal_count << " signals\n";
  EXPECT_GT(signal_count, 20u);
}

class Fork : public testing::Test {
 protected:
  static void expect_refusals(Engine& engine, Snapshot& pending, const std::string& path) {
    const auto refused = SeededSave(9).start(engine, path);
    EXPECT_THAT(refused, IsStatus(StatusCode::invalid_argument, HasSubstr("parent process")));
    EXPECT_THAT(engine.wait(), IsStatus(StatusCode::invalid_argument, HasSubstr("parent")));
    EXPECT_THAT(engine.prepare(1), IsStatus(StatusCode::invalid_argument, HasSubstr("parent")));
    EXPECT_THAT(engine.close(), IsStatus(StatusCode::invalid_argument, HasSubstr("parent")));
    EXPECT_THAT(*pending.wait_durable(std::nullopt),
                IsStatus(StatusCode::invalid_argument, HasSubstr("parent process")));
    EXPECT_FALSE(pending.cancel());
  }

  TempDir directory_;
};

TEST_F(Fork, children_are_refused_and_the_parent_goes_on) {
  auto engine = make_small_engine({.byte_rate_limit = 4 << 20});
  const SeededSave save(1, 2 << 20);
  const auto pending = save.start(*engine, directory_ / "x.pth").value();
  int forks = 0;
  for (; !pending->is_done() && forks < 20; ++forks) {
    EXPECT_TRUE(passes_in_child([&] {
      expect_refusals(*engine, *pending, directory_ / "x.pth");
      engine.reset();  // must neither wait for threads that are not here nor write
    }));
  }
  EXPECT_OK(*pending->wait_durable(std::nullopt));
  EXPECT_TRUE(save.is_held_by(directory_ / "x.pth"));
  EXPECT_THAT(directory_.names(), ElementsAre("x.pth"));
  std::cout << forks << " forks during one save\n";
  EXPECT_GE(forks, 3);
}

TEST_F(Fork, a_child_may_have_an_engine_of_its_own) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer ends a forked child that starts threads";
#endif
  auto engine = make_small_engine({.byte_rate_limit = 4 << 20});
  const SeededSave save(1, 2 << 20);
  const auto pending = save.start(*engine, directory_ / "x.pth").value();
  EXPECT_TRUE(passes_in_child([&] {
    auto own = make_small_engine();
    const SeededSave other(2);
    EXPECT_OK(other.run(*own, directory_ / "child.pth"));
    EXPECT_TRUE(other.is_held_by(directory_ / "child.pth"));
  }));
  EXPECT_FALSE(pending->is_done()) << "the parent's save was to be under way all the time";
  EXPECT_OK(*pending->wait_durable(std::nullopt));
  EXPECT_TRUE(save.is_held_by(directory_ / "x.pth"));
}

TEST_F(Fork, a_child_that_leaves_by_exit_does_so_cleanly) {
  static std::unique_ptr<Engine> engine = make_small_engine({.byte_rate_limit = 4 << 20});
  const SeededSave save(1, 2 << 20);
  const auto pending = save.start(*engine, directory_ / "x.pth").value();
  EXPECT_TRUE(passes_in_child([] { std::exit(0); }));  // destroys the static engine
  EXPECT_OK(*pending->wait_durable(std::nullopt));
  EXPECT_TRUE(save.is_held_by(directory_ / "x.pth"));
  engine.reset();
}

}  // namespace
}  // namespace tintype
