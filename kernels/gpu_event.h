// A point in the work of a GPU, and what the work before it gives back.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "kernels/cuda_api.h"
#include "kernels/launch_table.h"

namespace tintype {

// The launches of one stream that nobody has waited for yet, in their order. Whoever learns that
// one of them is over has learned it of the earlier ones too, and finds all of them handed out.
// Thread-safe.
class LaunchQueue {
 public:
  // The number of this launch: those of later ones are higher.
  uint64_t add(std::vector<LaunchTable> tables);
  // Hands out what came back up to this launch (LaunchTable::deliver()), or where it failed, as
  // `status` says, drops it; earlier launches are dropped with it, and fail by the same status
  // whoever waits for them later. How this launch went. REQUIRES: it is over.
  Status finish(uint64_t number, const Status& status);

 private:
  std::mutex mutex_;
  std::deque<std::vector<LaunchTable>> launches_;  // all guarded by mutex_
  uint64_t first_ = 0;                             // the number of the first
  uint64_t failed_up_to_ = 0;                      // launches below that failed_ is the answer for
  Status failed_;
};

// Thread-safe.
class GpuEvent {
 public:
  // `event` was recorded. Behind the launch `number` of `launches`, which outlives it (null: none).
  GpuEvent(CudaApi& api, int device, CudaApi::Event event, LaunchQueue* launches = nullptr,
           uint64_t number = 0)
      : api_(api), device_(device), event_(event), launches_(launches), number_(number) {}
  ~GpuEvent();

  // The work before it has ended, well or not.
  bool is_over() const;
  // The same, and what came back was handed out: CRCs stand, bounced pieces are in their places.
  bool is_done();
  // Sleeps until it is_done(); how the work went.
  Status wait();
  CudaApi::Event handle() const { return event_; }

  GpuEvent(const GpuEvent&) = delete;
  GpuEvent& operator=(const GpuEvent&) = delete;

 private:
  CudaApi& api_;
  const int device_;
  const CudaApi::Event event_;
  LaunchQueue* const launches_;
  const uint64_t number_;
};

}  // namespace tintype
