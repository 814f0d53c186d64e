// Runs part of a test in a forked child, where it may give up rights for good.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include <gtest/gtest.h>

namespace tintype {

// Success if `body` returned in the child and none of its expectations failed. Call it while the
// test has no threads of its own.
template <typename Body>
testing::AssertionResult passes_in_child(const Body& body) {
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    std::fflush(nullptr);
    ::_exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) {
    return testing::AssertionFailure() << "no child: errno " << errno;
  }
  if (WIFSIGNALED(status)) {
    return testing::AssertionFailure() << "the child was killed by signal " << WTERMSIG(status);
  }
  if (WEXITSTATUS(status) == 0) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "the child ended with " << WEXITSTATUS(status);
}

}  // namespace tintype
