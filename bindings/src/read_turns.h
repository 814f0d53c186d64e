// Reads of one file by several Python threads, one after the other.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <mutex>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "base/status.h"
#include "bindings/src/raise.h"

namespace tintype::python {

class ReadTurns {
 public:
  // Runs `read`, which returns a Result, when no other thread's is under way. Call it without the
  // GIL. While it waits, signal handlers run; what they raise ends it, and stays set on the thread.
  // A handler that comes in the middle of this thread's own read is refused (busy), as it would
  // wait forever, and so is a forked child (EBADF), whose descriptors are closed.
  template <typename Read>
  auto take(const std::string& name, const Read& read) -> decltype(read()) {
    if (::getpid() != process_) {
      return errno_status(EBADF, "read", name,
                          "this file was opened by the parent process: a forked child opens its "
                          "own");
    }
    if (holder_.load() == std::this_thread::get_id()) {
      return Status(StatusCode::busy, fmt::format("read '{}': it is being read by this thread, "
                                                  "which a signal handler interrupted",
                                                  name))
          .with_path(name)
          .with_remedy("open the file anew in the handler");
    }
    while (!mutex_.try_lock_for(kSignalPeriod)) {
      if (is_signal_pending()) return Status(StatusCode::interrupted, "read: interrupted");
    }
    const std::lock_guard lock(mutex_, std::adopt_lock);
    const Holder holder(holder_);
    return read();
  }

 private:
  class Holder {
   public:
    explicit Holder(std::atomic<std::thread::id>& id) : id_(id) {
      id_ = std::this_thread::get_id();
    }
    ~Holder() { id_ = std::thread::id(); }
    Holder(const Holder&) = delete;
    Holder& operator=(const Holder&) = delete;

   private:
    std::atomic<std::thread::id>& id_;
  };

  const pid_t process_ = ::getpid();
  std::timed_mutex mutex_;
  std::atomic<std::thread::id> holder_;
};

}  // namespace tintype::python
