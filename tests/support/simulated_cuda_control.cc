// What a test asks of a simulated CUDA, and what it finds out.
#include "tests/support/simulated_cuda.h"

namespace tintype {

void SimulatedCuda::fail_call(uint64_t number) {
  std::lock_guard lock(mutex_);
  call_to_fail_ = number;
  has_failed_ = false;
}

bool SimulatedCuda::has_failed() const {
  std::lock_guard lock(mutex_);
  return has_failed_;
}

void SimulatedCuda::break_device(bool is_broken) {
  std::lock_guard lock(mutex_);
  is_broken_ = is_broken;
}

void SimulatedCuda::refuse_pinning(bool is_refused) {
  std::lock_guard lock(mutex_);
  is_pinning_refused_ = is_refused;
}

void SimulatedCuda::lack_kernels() {
  std::lock_guard lock(mutex_);
  are_kernels_lacking_ = true;
}

uint64_t SimulatedCuda::kernel_loads() const {
  std::lock_guard lock(mutex_);
  return kernel_loads_;
}

void SimulatedCuda::refuse_device_memory(bool is_refused) {
  std::lock_guard lock(mutex_);
  is_device_memory_refused_ = is_refused;
}

std::vector<std::string> SimulatedCuda::broken_rules() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> broken = broken_rules_;
  for (const auto& [thread, devices] : entered_) {
    if (!devices.empty()) broken.push_back("a thread has not left its device");
  }
  return broken;
}

uint64_t SimulatedCuda::pinned_regions() const {
  std::lock_guard lock(mutex_);
  return pinned_.size();
}

uint64_t SimulatedCuda::allocations() const {
  std::lock_guard lock(mutex_);
  return allocated_.size();
}

uint64_t SimulatedCuda::allocated_bytes() const {
  std::lock_guard lock(mutex_);
  return allocated_bytes_;
}

uint64_t SimulatedCuda::tables_on_host() const {
  std::lock_guard lock(mutex_);
  return tables_on_host_;
}

uint64_t SimulatedCuda::copies_by_engine() const {
  std::lock_guard lock(mutex_);
  return copies_by_engine_;
}

uint64_t SimulatedCuda::longest_copy_bytes() const {
  std::lock_guard lock(mutex_);
  return longest_copy_bytes_;
}

uint64_t SimulatedCuda::pinnings_asked() const {
  std::lock_guard lock(mutex_);
  return pinnings_asked_;
}

uint64_t SimulatedCuda::kernels() const {
  std::lock_guard lock(mutex_);
  return kernels_;
}

uint64_t SimulatedCuda::split_bytes() const {
  std::lock_guard lock(mutex_);
  return split_bytes_;
}

}  // namespace tintype
