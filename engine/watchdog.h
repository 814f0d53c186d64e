// Gives saves up that make no progress: a disk or server that hangs must not take the program with
// it.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/snapshot_core.h"

namespace tintype {

// Progress is what SnapshotCore counts as such. A save that waits behind an earlier one is measured
// by that one's progress. Time is counted in the watchdog's own turns, so that a process that was
// stopped for an hour has not been without progress for an hour.
class Watchdog {
 public:
  // Runs on the watchdog's thread; the save may have ended meanwhile.
  using GiveUp = std::function<void(const std::shared_ptr<SnapshotCore>&)>;

  // A `stall_timeout` of zero watches nothing.
  Watchdog(std::chrono::milliseconds stall_timeout, GiveUp give_up);
  ~Watchdog();
  // Once, before anything else. resource_exhausted where no thread is to be had.
  Status start();

  // Any thread; in the order in which the saves will be committed. Ends with the final state.
  void watch(std::shared_ptr<SnapshotCore> core);

 private:
  struct Watched {
    std::shared_ptr<SnapshotCore> core;
    uint64_t progress_seen = 0;
    uint64_t quiet_turns = 0;
  };

  void run();
  std::vector<std::shared_ptr<SnapshotCore>> take_stalled();

  const std::chrono::milliseconds turn_;
  const uint64_t turns_max_;
  const GiveUp give_up_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Watched> saves_;  // guarded by mutex_; oldest first
  bool is_stopping_ = false;    // guarded by mutex_
  std::thread thread_;          // none where nothing is watched
};

}  // namespace tintype
