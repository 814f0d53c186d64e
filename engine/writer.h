// The one thread that submits writes: takes sealed extents, keeps the queue full, returns slots.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/engine.h"
#include "engine/save_job.h"
#include "engine/slot_pool.h"
#include "io/disk/resuming_writer.h"
#include "io/disk/write_queue.h"

namespace tintype {

struct SealedExtent {
  std::shared_ptr<SaveJob> job;
  size_t position = 0;  // in the plan's order
  SlotLease slot;
  Clock::time_point sealed = {};
};

class Writer {
 public:
  // `queue` and `pool` outlive the writer.
  Writer(WriteQueue& queue, SlotPool& pool, const EngineOptions& options);
  ~Writer();  // stops; REQUIRES: no work left

  // Any thread. The extent counts as one piece of its job's work until it is written or dropped.
  void enqueue(SealedExtent extent);
  // Any thread. Registers touched memory with the kernel; waits until that was tried, or until
  // `is_stalled` says that it will not be soon.
  void register_memory(const std::function<bool()>& is_stalled);
  // Any thread. Why the kernel did not take the memory; empty while it was not refused.
  std::string registration_refusal() const;

 private:
  struct InFlight {
    SealedExtent extent;
    uint64_t counted_bytes = 0;
    Clock::time_point started = {};
  };

  void run();
  bool take_incoming();
  void drop_doomed();
  void start_writes();
  bool start(SealedExtent& extent);
  Status begin_file(SaveJob& job, JobFile& file, uint64_t image_bytes);
  void finish(FinishedWrite& write);
  void drop(SealedExtent extent);
  void update_registration();  // REQUIRES: mutex_ held
  std::chrono::milliseconds time_until_allowed() const;
  void count_for_report(const InFlight& done);

  WriteQueue& queue_;
  ResumingWriter writes_;
  SlotPool& pool_;
  const DirectIo direct_io_;
  const uint64_t byte_rate_limit_;

  // Owned by the writer's thread.
  std::deque<SealedExtent> pending_;
  std::unordered_map<uint64_t, InFlight> in_flight_;
  std::vector<FinishedWrite> finished_;
  uint64_t next_token_ = 1;
  size_t registered_regions_ = 0;
  Clock::time_point next_start_ = Clock::now();

  mutable std::mutex mutex_;
  std::condition_variable registered_;
  std::deque<SealedExtent> incoming_;  // guarded by mutex_
  Status registration_;                // guarded by mutex_; not ok: refused, and not tried again
  bool is_registration_wanted_ = false;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace tintype
