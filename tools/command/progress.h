// How far a long piece of work is, in one line.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "tools/command/output.h"

namespace tintype::command {

// "x.pth: 43 %, 812.0 MiB/s, 0:12 left"; without a total what was done so far.
std::string progress_text(const std::string& name, uint64_t done_bytes, uint64_t total_bytes,
                          double seconds);

// Shows it ten times a second at most.
class Progress {
 public:
  // `output` outlives this. total_bytes 0: not known.
  Progress(Output& output, std::string name, uint64_t total_bytes);

  void show(uint64_t done_bytes);
  double seconds() const;

 private:
  using Clock = std::chrono::steady_clock;

  Output& output_;
  const std::string name_;
  const uint64_t total_bytes_;
  const Clock::time_point begin_ = Clock::now();
  Clock::time_point shown_ = begin_;
};

}  // namespace tintype::command
