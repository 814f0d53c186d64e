// The driver of fuzz targets without libFuzzer, and its mutations.
#include <cstdlib>
#include <set>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fuzz/mutator.h"
#include "tests/support/temp_dir.h"

namespace tintype::fuzzing {
namespace {

using testing::HasSubstr;

class Replay : public testing::Test {
 protected:
  // The bad target's exit status, over a corpus of this one file.
  int run(const std::string& input, const std::string& flags) {
    write_text(corpus_ / "input", input);
    const std::string command =
        fmt::format("{} {} -artifact_prefix={}/ {} > {} 2>&1", TINTYPE_BAD_TARGET, flags,
                    results_.path(), corpus_.path(), results_ / "output");
    const int status = std::system(command.c_str());
    output_ = read_text(results_ / "output");
    return status;
  }
  std::string kept_input() { return read_text(results_ / "fuzz_bad_target.failed-input"); }

  TempDir corpus_;
  TempDir results_;
  std::string output_;
};

TEST_F(Replay, a_sound_run_says_how_much_it_executed) {
  EXPECT_EQ(run("fine", "-runs=1000 -seed=7"), 0);
  EXPECT_THAT(output_, HasSubstr("1001 executions, 1 of the corpus and 1000 mutations (seed 7)"));
  EXPECT_EQ(kept_input(), "");
}

TEST_F(Replay, an_input_that_aborts_or_hangs_fails_the_run_and_is_kept) {
  for (const std::string input : {"abort", "hang"}) {
    EXPECT_NE(run(input, "-timeout=1"), 0);
    EXPECT_THAT(output_, HasSubstr(input == "hang" ? "takes too long: " : "the input crashes: "));
    EXPECT_EQ(kept_input(), input);
  }
}

#ifndef __SANITIZE_ADDRESS__  // which reports by itself, without our handler
TEST_F(Replay, an_input_that_crashes_is_kept) {
  EXPECT_NE(run("crash", ""), 0);
  EXPECT_EQ(kept_input(), "crash");
}
#endif

TEST_F(Replay, no_corpus_is_an_error) {
  const std::string command = fmt::format("{} 2> {}", TINTYPE_BAD_TARGET, results_ / "output");
  EXPECT_NE(std::system(command.c_str()), 0);
  EXPECT_THAT(read_text(results_ / "output"), HasSubstr("no corpus"));
}

TEST(Mutator, a_seed_gives_the_same_inputs_again_and_others_than_the_corpus) {
  std::vector<ByteVector> corpus(2);
  append_text(corpus[0], "0123456789");
  append_text(corpus[1], "abcdefghijklmnopqrstuvwxyz");
  Mutator first(corpus, 1);
  Mutator second(corpus, 1);
  std::set<ByteVector> inputs;
  constexpr size_t kRuns = 10'000;
  for (size_t i = 0; i < kRuns; ++i) {
    const ByteVector input = first.next();
    EXPECT_EQ(input, second.next());
    inputs.insert(input);
  }
  fmt::print("{} different inputs of {}\n", inputs.size(), kRuns);
  EXPECT_GT(inputs.size(), kRuns / 2);
}

}  // namespace
}  // namespace tintype::fuzzing
