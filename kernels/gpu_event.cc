#include "kernels/gpu_event.h"

#include <utility>

#include "kernels/current_device.h"

namespace tintype {

uint64_t LaunchQueue::add(std::vector<LaunchTable> tables) {
  std::lock_guard lock(mutex_);
  launches_.push_back(std::move(tables));
  return first_ + launches_.size() - 1;
}

Status LaunchQueue::finish(uint64_t number, const Status& status) {
  std::lock_guard lock(mutex_);
  if (!status.is_ok() && first_ <= number) {
    failed_up_to_ = number + 1;
    failed_ = status;
  }
  for (; first_ <= number; ++first_, launches_.pop_front()) {
    for (LaunchTable& table : launches_.front()) {
      if (status.is_ok()) table.deliver();
    }
  }
  return number < failed_up_to_ && status.is_ok() ? failed_ : status;
}

GpuEvent::~GpuEvent() {
  const CurrentDevice current(api_, device_);
  if (current.status().is_ok()) api_.destroy_event(event_);
}

bool GpuEvent::is_over() const {
  const CurrentDevice current(api_, device_);
  return !current.status().is_ok() || api_.is_done(event_);
}

bool GpuEvent::is_done() {
  if (!is_over()) return false;
  static_cast<void>(wait());
  return true;
}

Status GpuEvent::wait() {
  const CurrentDevice current(api_, device_);
  const Status status = current.status().is_ok() ? api_.wait(event_) : current.status();
  return launches_ != nullptr ? launches_->finish(number_, status) : status;
}

}  // namespace tintype
