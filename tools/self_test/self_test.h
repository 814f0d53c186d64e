// What a directory's disk does with the engine, beside what it does with plain writes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"

namespace tintype::self_test {

struct Options {
  std::string directory = ".";
  uint64_t size_bytes = uint64_t{256} << 20;  // of the large state
  uint32_t round_count = 5;
  // Before each round: its number of all. True ends with `interrupted`; nothing is left behind.
  std::function<bool(uint32_t round, uint32_t count)> on_round;
};

// One comparison: seconds of each round, taken in turns, so that what slows the machine for a while
// meets both.
struct Row {
  std::string name;
  uint64_t size_bytes = 0;
  std::vector<double> engine_seconds;
  std::vector<double> plain_seconds;
};

struct Report {
  std::string directory;  // absolute
  std::string backend;    // "io_uring+registered"
  std::vector<Row> rows;
};

// The middle one; of an even number the mean of the two in the middle.
double median(std::vector<double> values);
// plain ÷ engine, round by round: above 1 the engine is faster. Ascending.
std::vector<double> ratios(const Row& row);

// Saves a state of random bytes by the engine, and writes the same bytes by buffered writes of
// 1 MiB, fdatasync, rename and an fsync of the directory; then once more a small one. Works in a
// folder of its own in the directory, and removes it, whatever happens. Errors: the system's;
// out_of_space and resource_exhausted before anything is written where disk or memory are too small
// for it.
Result<Report> run(const Options& options);

}  // namespace tintype::self_test
