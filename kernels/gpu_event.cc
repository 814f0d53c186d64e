#include "kernels/gpu_event.h"

#include <utility>

namespace tintype {

GpuEvent::GpuEvent(CudaApi& api, CudaApi::Event event, std::vector<LaunchTable> tables)
    : api_(api), event_(event), tables_(std::move(tables)) {}

GpuEvent::~GpuEvent() { api_.destroy_event(event_); }

bool GpuEvent::is_done() {
  if (!is_over()) return false;
  static_cast<void>(wait());
  return true;
}

// Of a failed piece of work nothing is handed out.
Status GpuEvent::wait() {
  Status status = api_.wait(event_);
  std::lock_guard lock(mutex_);
  if (std::exchange(is_delivered_, true)) return status_;
  status_ = std::move(status);
  for (LaunchTable& table : tables_) {
    if (status_.is_ok()) table.deliver();
  }
  return status_;
}

}  // namespace tintype
