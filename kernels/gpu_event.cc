#include "kernels/gpu_event.h"

#include <utility>

namespace tintype {

uint64_t LaunchQueue::add(std::vector<LaunchTable> tables) {
  std::lock_guard lock(mutex_);
  launches_.push_back(std::move(tables));
  return first_ + launches_.size() - 1;
}

void LaunchQueue::finish(uint64_t number, bool is_well) {
  std::lock_guard lock(mutex_);
  for (; first_ <= number; ++first_, launches_.pop_front()) {
    for (LaunchTable& table : launches_.front()) {
      if (is_well) table.deliver();
    }
  }
}

bool GpuEvent::is_done() {
  if (!is_over()) return false;
  static_cast<void>(wait());
  return true;
}

Status GpuEvent::wait() {
  Status status = api_.wait(event_);
  if (launches_ != nullptr) launches_->finish(number_, status.is_ok());
  return status;
}

}  // namespace tintype
