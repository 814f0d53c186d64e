// The lock of a checkpoint directory: who holds it, when it is freed, and what a fork does to it.
#include <sys/wait.h>
#include <unistd.h>

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/directory/checkpoint_directory.h"
#include "tests/support/directory_fixture.h"

namespace tintype {
namespace {

using namespace testing_support;
using testing::HasSubstr;

TEST_F(CheckpointDirectoryTest, a_second_writer_is_told_who_holds_the_lock) {
  open();
  const auto second = CheckpointDirectory::open(options_);
  ASSERT_FALSE(second.is_ok());
  EXPECT_EQ(second.status().code(), StatusCode::locked);
  EXPECT_THAT(second.status().to_string(),
              HasSubstr("process " + std::to_string(::getpid()) + " on "));
  EXPECT_THAT(second.status().to_string(), HasSubstr(" since 20"));
}

TEST_F(CheckpointDirectoryTest, another_process_is_locked_out) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "ThreadSanitizer ends a forked child that starts threads";
#endif
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
  EXPECT_TRUE(status.is_ok()) << status.to_string();
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

}  // namespace
}  // namespace tintype
