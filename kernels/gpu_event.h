// A point in the work of a GPU, and what the work before it gives back.
#pragma once

#include <mutex>
#include <vector>

#include "base/status.h"
#include "kernels/cuda_api.h"
#include "kernels/launch_table.h"

namespace tintype {

// Thread-safe. Everything of a Gpu outlives it.
class GpuEvent {
 public:
  // `event` was recorded. `tables` are those of kernels before it.
  GpuEvent(CudaApi& api, CudaApi::Event event, std::vector<LaunchTable> tables);
  // REQUIRES: it is over, or there are no tables.
  ~GpuEvent();

  // The work before it has ended, well or not.
  bool is_over() const { return api_.is_done(event_); }
  // The same, and what came back was handed out: CRCs stand, bounced pieces are in their places.
  bool is_done();
  // Sleeps until it is_done(); how the work went.
  Status wait();
  CudaApi::Event handle() const { return event_; }

  GpuEvent(const GpuEvent&) = delete;
  GpuEvent& operator=(const GpuEvent&) = delete;

 private:
  CudaApi& api_;
  const CudaApi::Event event_;
  std::mutex mutex_;
  std::vector<LaunchTable> tables_;  // guarded by mutex_
  bool is_delivered_ = false;        // guarded by mutex_
  Status status_;                    // guarded by mutex_
};

}  // namespace tintype
