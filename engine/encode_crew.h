// The threads between sealing and writing, for files of a compressed form: each takes a sealed
// extent, encodes it into a slot that it holds, hands that to the writer and keeps the other.
//
// So encoding never waits for a slot, and whatever is sealed reaches the disk in a pool of any size
// that has a slot more than there are threads.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "base/threads.h"
#include "engine/save_job.h"
#include "engine/slot_pool.h"
#include "engine/writer.h"

namespace tintype {

struct SealedExtent {
  std::shared_ptr<SaveJob> job;
  size_t position = 0;  // in the plan's order
  SlotLease slot;
  std::unique_ptr<const SplitExtent> split = nullptr;  // null: it lies there as it is
};

// The content of one extent of a compressed file, so that it fits a slot once encoded, whatever it
// holds. unsupported where slots are too small for that.
Result<uint64_t> encodable_extent_bytes(uint64_t slot_bytes);

class EncodeCrew {
 public:
  // All outlive the crew. `queue_depth` is the writer's.
  EncodeCrew(Writer& writer, SlotPool& pool, unsigned thread_count, uint64_t queue_depth);
  ~EncodeCrew();  // REQUIRES: no work left

  // Any thread. How many slots the crew holds for good: now, or once it has work.
  unsigned held_slots(bool will_have_work) const {
    return will_have_work ? thread_count_ : started_count_.load();
  }
  // Starts the threads and leases their slots, at the first call. Waits for slots that earlier
  // saves still hold; `cancelled` where `is_ended` says so before, and nothing is held.
  // resource_exhausted where the pool has not two slots, or the system no thread. One call at a
  // time, before extents of a compressed file are staged.
  Status reserve(const std::function<bool()>& is_ended);

  // Any thread. REQUIRES: reserve() succeeded. The extent counts as one piece of its job's work.
  void enqueue(SealedExtent extent);

 private:
  struct Coder;

  void run(SlotLease spare);
  bool take(SealedExtent& extent);
  void encode(Coder& coder, SealedExtent extent);
  Coding coding_for(const TargetForm& form) const;
  void hand_on(const std::shared_ptr<SaveJob>& job, uint32_t file,
               std::vector<PlacedExtent> placed);

  Writer& writer_;
  SlotPool& pool_;
  const unsigned thread_count_;
  const uint64_t queue_depth_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<SealedExtent> incoming_;  // guarded by mutex_
  bool is_stopping_ = false;           // guarded by mutex_
  ThreadGroup threads_;
  std::atomic<unsigned> started_count_ = 0;
};

}  // namespace tintype
