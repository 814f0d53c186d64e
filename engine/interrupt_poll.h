// Lets a call that blocks be interrupted: asks at most every 50 ms, cancels the save if told so.
#pragma once

#include <chrono>
#include <utility>

#include "engine/copy_crew.h"
#include "engine/engine.h"
#include "engine/snapshot_core.h"

namespace tintype {

// One thread: the caller's.
class InterruptPoll {
 public:
  // Without a check nothing interrupts.
  InterruptPoll(SnapshotCore& core, const InterruptCheck& is_interrupted)
      : core_(core), is_interrupted_(is_interrupted) {}

  // True once the save was interrupted.
  bool poll() {
    const auto now = Clock::now();
    if (was_interrupted_ || !is_interrupted_ || now - last_check_ < kInterruptPeriod) {
      return was_interrupted_;
    }
    last_check_ = now;
    was_interrupted_ = is_interrupted_();
    if (was_interrupted_) core_.request_cancel();
    return was_interrupted_;
  }

  bool was_interrupted() const { return was_interrupted_; }

 private:
  SnapshotCore& core_;
  const InterruptCheck& is_interrupted_;
  Clock::time_point last_check_ = Clock::now();
  bool was_interrupted_ = false;
};

}  // namespace tintype
