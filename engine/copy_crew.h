// The threads that copy.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>

#include "base/threads.h"

namespace tintype {

// How often a call that blocks asks whether it is to stop.
inline constexpr std::chrono::milliseconds kInterruptPeriod{50};

// Where less is to be copied, waking helpers does not pay.
inline constexpr uint64_t kCrewThresholdBytes = 4ull << 20;

// Threads that run one function together with the caller.
class CopyCrew {
 public:
  // Where the system gives fewer threads, those and the caller do the work.
  explicit CopyCrew(unsigned helper_count);
  ~CopyCrew();

  // Runs body on every helper and on the caller; returns when all have returned. `while_waiting` is
  // called on the caller's thread at least every 50 ms once the caller's own part is done. One call
  // at a time.
  void run(const std::function<void(bool is_caller)>& body,
           const std::function<void()>& while_waiting);
  unsigned size() const { return static_cast<unsigned>(helpers_.size()) + 1; }

 private:
  void help();

  std::mutex mutex_;
  std::condition_variable started_;
  std::condition_variable finished_;
  const std::function<void(bool)>* body_ = nullptr;  // all below guarded by mutex_
  uint64_t round_ = 0;
  unsigned running_ = 0;
  bool is_stopping_ = false;
  ThreadGroup helpers_;
};

}  // namespace tintype
