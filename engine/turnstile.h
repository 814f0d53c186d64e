// Lets one caller through at a time, in the order in which they came; waiting can be interrupted.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>

namespace tintype {

class Turnstile {
 public:
  // Returns true when it is the caller's turn and `may_pass` holds (evaluated under the lock, again
  // after every notify()); false if is_interrupted, asked every 50 ms, said so. REQUIRES: leave()
  // after true.
  bool enter(const std::function<bool()>& is_interrupted, const std::function<bool()>& may_pass);
  void leave();
  // Runs `change` under the lock, then lets waiters evaluate may_pass again.
  void notify(const std::function<void()>& change);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<uint64_t> waiting_;  // tickets, oldest first; the front one is served next
  uint64_t next_ticket_ = 0;
  bool is_occupied_ = false;
};

}  // namespace tintype
