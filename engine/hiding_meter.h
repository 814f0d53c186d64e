// What an engine measures for the hiding budget: how fast it copies and writes, how long the job
// computes before it changes its storages.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>

#include "engine/hiding_budget.h"
#include "engine/snapshot_core.h"

namespace tintype {

// The first value, then each new one with a weight of 0.3: a few saves forget the past.
class MovingAverage {
 public:
  void add(double value) { value_ = value_ == 0 ? value : value_ + 0.3 * (value - value_); }
  double value() const { return value_; }  // 0: none yet

 private:
  double value_ = 0;
};

// Thread-safe.
class HidingMeter {
 public:
  // A save was staged: its copy rate, slot waits not counted.
  void note_staged(const SnapshotReport& report);
  // A save was written. Small ones say nothing about the disk's rate.
  void note_written(const SnapshotReport& report);
  // save_async() returns from a guarded save.
  void note_return(Clock::time_point now);
  // before_mutation() is called; only the first call after a return counts.
  void note_mutation(Clock::time_point now);

  // Writes the three averages.
  void fill(HidingInputs& inputs) const;

 private:
  mutable std::mutex mutex_;
  MovingAverage copy_bytes_per_s_;  // all below guarded by mutex_
  MovingAverage disk_bytes_per_s_;
  MovingAverage step_s_;
  std::optional<Clock::time_point> returned_;
};

}  // namespace tintype
