// SIGKILL right before an operation of the file system, for every operation of a run that saves,
// links and evicts. The next start finds what was acknowledged or newer, nothing torn, and leaves
// no temp. TINTYPE_FULL=1 kills at every operation, on the disk; else at every seventh, on tmpfs.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <string>

#include "tests/support/checkpoint_run.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/protocol_step.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

constexpr size_t kStorageBytes = 40'000;

// A best one, a better one that evicts it, a worse one that is only `last`, the same epoch again
// and better, then an epoch that is only `last`, twice.
constexpr Version kSaves[] = {{1, 1, .5}, {2, 2, .4}, {3, 3, .6},
                              {4, 3, .3}, {5, 4, .8}, {6, 4, .7}};

bool is_full_run() { return std::getenv("TINTYPE_FULL") != nullptr; }

std::unique_ptr<Engine> make_engine(const std::string& queue_name, FileSystem& file_system) {
  EngineOptions options{.staging_bytes = 256 << 10, .extent_bytes = 16 << 10, .copy_threads = 1};
  options.file_system = &file_system;
  options.make_write_queue = [queue_name]() -> Result<std::unique_ptr<WriteQueue>> {
    return make_queue(queue_name, 4);
  };
  return std::move(Engine::create(std::move(options)).value());
}

// What the parent gets to know of a child.
struct Life {
  uint64_t acknowledged = 0;
  std::string step;  // where it was killed; empty if it came to its end
};

class KillPoints : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "ThreadSanitizer ends a forked child that starts threads";
#endif
    if (make_queue(GetParam(), 1) == nullptr) GTEST_SKIP() << GetParam() << " is not to be had";
  }

  static CheckpointRunOptions options_for(const TempDir& logdir, FileSystem& file_system) {
    return {.logdir = logdir.path(), .file_system = &file_system, .storage_bytes = kStorageBytes};
  }

  // Each line is written at once, so that the kill tears none.
  static void say(int pipe, const std::string& line) {
    static_cast<void>(!::write(pipe, (line + "\n").c_str(), line.size() + 1));
  }

  static void live(const TempDir& logdir, const std::string& queue, size_t kill_at, int pipe) {
    FaultInjector injector;
    std::atomic<size_t> count = 0;
    injector.set_observer([&](const FaultInjector::Operation& operation) {
      if (count++ != kill_at) return;
      say(pipe, "killed " + protocol_step(operation));
      ::kill(::getpid(), SIGKILL);
    });
    FaultFileSystem watched(posix_file_system(), injector);
    const auto engine = make_engine(queue, watched);
    const auto run = CheckpointRun::open(options_for(logdir, watched)).value();
    for (const Version& version : kSaves) {
      if (!run->save(*engine, version).is_ok()) ::_exit(1);
      say(pipe, "saved " + std::to_string(version.number));
    }
  }

  Life run_child(const TempDir& logdir, size_t kill_at) {
    int ends[2] = {};
    EXPECT_EQ(::pipe(ends), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      live(logdir, GetParam(), kill_at, ends[1]);
      ::_exit(0);
    }
    ::close(ends[1]);
    Life life = listen(ends[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(life.step.empty() ? WIFEXITED(status) && WEXITSTATUS(status) == 0
                                  : WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    return life;
  }

  static Life listen(int pipe) {
    std::string text;
    char buffer[256];
    for (ssize_t count = 0; (count = ::read(pipe, buffer, sizeof buffer)) > 0;) {
      text.append(buffer, static_cast<size_t>(count));
    }
    ::close(pipe);
    Life life;
    std::istringstream lines(text);
    for (std::string line; std::getline(lines, line);) {
      if (line.starts_with("saved ")) life.acknowledged = std::stoull(line.substr(6));
      if (line.starts_with("killed ")) life.step = line.substr(7);
    }
    return life;
  }

  static void expect_nothing_lost(const TempDir& logdir, const Life& life) {
    CheckpointRunOptions options = options_for(logdir, posix_file_system());
    options.is_resumed = true;
    auto run = CheckpointRun::open(options);
    ASSERT_OK(run);
    const std::string folder = logdir / "checkpoints";
    auto labels = labels_in(posix_file_system(), folder, kStorageBytes);
    SCOPED_TRACE("killed at " + life.step + ", found " + testing::PrintToString(labels));
    for (const auto& [name, label] : labels) {
      EXPECT_TRUE(label != "torn" && label != "temp" && label != "other") << name << " " << label;
    }
    const auto point = (*run)->directory().find_resume_point("last");
    if (point.is_ok() || life.acknowledged > 0) {
      ASSERT_OK(point);
      const std::string name = point->path.substr(point->path.rfind('/') + 1);
      EXPECT_GE(version_of_label(labels.at(name)), life.acknowledged);
      EXPECT_EQ(version_of_label(labels.at("last.pth")), version_of_label(labels.at(name)));
    }
    const auto engine = make_engine("pwrite", posix_file_system());
    EXPECT_OK((*run)->save(*engine, {9, 9, .1}));
    labels = labels_in(posix_file_system(), folder, kStorageBytes);
    EXPECT_EQ(labels.at("best_full.pth"), "full 9");
    EXPECT_EQ(labels.at("last.pth"), "light 9");
  }
};

TEST_P(KillPoints, nothing_acknowledged_is_lost_wherever_the_process_is_killed) {
  const size_t stride = is_full_run() ? 1 : 7;
  std::map<std::string, size_t> kills;
  size_t total = 0;
  for (size_t kill_at = 0;; kill_at += stride) {
    SCOPED_TRACE(testing::Message() << "operation " << kill_at);
    const TempDir logdir(is_full_run() ? std::filesystem::temp_directory_path() : fast_parent());
    const Life life = run_child(logdir, kill_at);
    expect_nothing_lost(logdir, life);
    if (life.step.empty()) {
      EXPECT_EQ(life.acknowledged, std::size(kSaves));
      break;
    }
    ++kills[life.step];
    ++total;
  }
  std::cout << GetParam() << ": " << total << " kills, nothing lost\n";
  for (const auto& [step, count] : kills) std::cout << "  at " << step << ": " << count << "\n";
  EXPECT_GE(total, is_full_run() ? 250u : 40u);
}

INSTANTIATE_TEST_SUITE_P(Queues, KillPoints, testing::ValuesIn(queue_names()),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace tintype
