#include "engine/transcode/ordered_line.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>

#include "base/check.h"
#include "base/no_memory.h"
#include "base/threads.h"

namespace tintype {
namespace {

constexpr auto kAskInterval = std::chrono::milliseconds(50);

class Line {
 public:
  Line(PieceWork& work, const LineOptions& options)
      : work_(work),
        options_(options),
        free_workers_(options.worker_count),
        running_(options.slot_count) {}

  Status run() {
    ThreadGroup threads;
    for (uint32_t slot = 0; slot < options_.slot_count; ++slot) {
      const Status status = threads.start("tintype-line", [this, slot] { serve(slot); });
      if (status.is_ok()) continue;
      if (threads.empty()) return status;
      break;  // fewer threads do the same work
    }
    end_running(options_.slot_count - static_cast<uint32_t>(threads.size()));
    wait_for_end();
    threads.join();
    return first_error_;
  }

 private:
  void wait_for_end() {
    std::unique_lock lock(mutex_);
    while (running_ > 0) {
      changed_.wait_for(lock, kAskInterval);
      if (!options_.is_interrupted || is_stopped_) continue;
      lock.unlock();
      const bool is_interrupted = options_.is_interrupted();
      lock.lock();
      if (is_interrupted) stop({StatusCode::interrupted, "interrupted"});
    }
  }

  void serve(uint32_t slot) {
    for (uint64_t number = 0; take(slot, number);) {
      Status status = work(slot);
      if (status.is_ok() && !wait_for_turn(number)) break;
      if (status.is_ok()) status = without_throwing([&] { return work_.place(slot); });
      if (status.is_ok()) pass_turn();
      if (status.is_ok()) status = without_throwing([&] { return work_.store(slot); });
      if (status.is_ok()) continue;
      std::lock_guard lock(mutex_);
      stop(status);
    }
    end_running(1);
  }

  void end_running(uint32_t count) {
    std::lock_guard lock(mutex_);
    running_ -= count;
    changed_.notify_all();
  }

  // A thread that throws would end the program.
  template <typename Step>
  auto without_throwing(const Step& step) const -> decltype(step()) {
    try {
      return step();
    } catch (const std::bad_alloc&) {
      return no_memory_;
    }
  }

  bool take(uint32_t slot, uint64_t& number) {
    std::lock_guard one_at_a_time(take_mutex_);
    {
      std::lock_guard lock(mutex_);
      if (is_stopped_ || is_at_end_) return false;
    }
    const Result<bool> taken = without_throwing([&] { return work_.take(slot); });
    std::lock_guard lock(mutex_);
    if (!taken.is_ok()) stop(taken.status());
    if (taken.is_ok() && !*taken) is_at_end_ = true;
    if (is_stopped_ || is_at_end_) return false;
    number = taken_count_++;
    return true;
  }

  Status work(uint32_t slot) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return free_workers_ > 0 || is_stopped_; });
    if (is_stopped_) return first_error_;
    --free_workers_;
    lock.unlock();
    Status status = without_throwing([&] { return work_.work(slot); });
    lock.lock();
    ++free_workers_;
    changed_.notify_all();
    return status;
  }

  bool wait_for_turn(uint64_t number) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return placed_count_ == number || is_stopped_; });
    return !is_stopped_;
  }

  void pass_turn() {
    std::lock_guard lock(mutex_);
    ++placed_count_;
    changed_.notify_all();
  }

  // REQUIRES: mutex_ is held.
  void stop(const Status& status) {
    if (first_error_.is_ok()) first_error_ = status;
    is_stopped_ = true;
    changed_.notify_all();
  }

  PieceWork& work_;
  const LineOptions& options_;
  const Status no_memory_ = no_memory("a piece of the file");  // made while there is some
  std::mutex take_mutex_;                                      // taken before mutex_

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  uint32_t free_workers_;
  uint32_t running_;
  uint64_t taken_count_ = 0;
  uint64_t placed_count_ = 0;
  bool is_at_end_ = false;
  bool is_stopped_ = false;
  Status first_error_;
};

}  // namespace

Status run_line(PieceWork& work, const LineOptions& options) {
  TINTYPE_CHECK(options.slot_count > 0 && options.worker_count > 0);
  return Line(work, options).run();
}

}  // namespace tintype
