// The one thread that submits writes: keeps the queue full, returns slots.
#pragma once

#include <atomic>
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

// The content of a slot, and where it goes.
struct SlotWrite {
  std::shared_ptr<SaveJob> job;
  uint32_t file = 0;           // of job->files
  uint64_t offset = 0;         // in the file; a multiple of 4096
  uint64_t size_bytes = 0;     // from the start of the slot; a multiple of 4096
  uint64_t counted_bytes = 0;  // of the file images: what the progress counts
  SlotLease slot;
  Clock::time_point ready = {};
};

class Writer {
 public:
  // `queue` and `pool` outlive the writer.
  Writer(WriteQueue& queue, SlotPool& pool, const EngineOptions& options);
  ~Writer();  // stops; REQUIRES: no work left
  // Once, before anything else. resource_exhausted where no thread is to be had.
  Status start();

  // Any thread. Counts as one piece of its job's work until it is written or dropped.
  void enqueue(SlotWrite write);
  // Any thread. How many writes were enqueued and have not ended: few, and the disk may be waiting.
  uint64_t unfinished_count() const { return unfinished_.load(std::memory_order_relaxed); }
  // Any thread. Registers touched memory with the kernel; waits until that was tried, or until
  // `is_stalled` says that it will not be soon.
  void register_memory(const std::function<bool()>& is_stalled);
  // Any thread. Why the kernel did not take the memory; empty while it was not refused.
  std::string registration_refusal() const;

 private:
  struct InFlight {
    SlotWrite write;
    Clock::time_point started = {};
  };

  void run();
  bool take_incoming();
  void drop_doomed();
  void start_writes();
  bool start(SlotWrite& write);
  Status begin_file(SaveJob& job, JobFile& file);
  void finish(FinishedWrite& finished);
  void drop(SlotWrite write);
  void update_registration();  // REQUIRES: mutex_ held
  std::chrono::milliseconds time_until_allowed() const;
  void count_for_report(const InFlight& done);

  WriteQueue& queue_;
  ResumingWriter writes_;
  SlotPool& pool_;
  const DirectIo direct_io_;
  const uint64_t byte_rate_limit_;

  // Owned by the writer's thread.
  std::deque<SlotWrite> pending_;
  std::unordered_map<uint64_t, InFlight> in_flight_;
  std::vector<FinishedWrite> finished_;
  uint64_t next_token_ = 1;
  size_t registered_regions_ = 0;
  Clock::time_point next_start_ = Clock::now();

  std::atomic<uint64_t> unfinished_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable registered_;
  std::deque<SlotWrite> incoming_;  // guarded by mutex_
  Status registration_;             // guarded by mutex_; not ok: refused, and not tried again
  bool is_registration_wanted_ = false;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace tintype
