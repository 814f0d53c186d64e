// What a hanging disk does: nothing gets through until it is opened.
#pragma once

#include <condition_variable>
#include <mutex>

namespace tintype {

// Thread-safe.
class Gate {
 public:
  // Waits until the gate is open.
  void pass() {
    std::unique_lock lock(mutex_);
    has_held_ = true;
    opened_.wait(lock, [this] { return is_open_; });
  }

  void open() {
    std::lock_guard lock(mutex_);
    is_open_ = true;
    opened_.notify_all();
  }

  bool is_open() const {
    std::lock_guard lock(mutex_);
    return is_open_;
  }

  // Whether anybody came to it while it was closed.
  bool has_held() const {
    std::lock_guard lock(mutex_);
    return has_held_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable opened_;
  bool is_open_ = false;
  bool has_held_ = false;
};

}  // namespace tintype
