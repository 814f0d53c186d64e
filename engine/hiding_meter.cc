#include "engine/hiding_meter.h"

namespace tintype {
namespace {

constexpr uint64_t kDiskBytesMin = 8ull << 20;  // below, a write's latency is what is measured

double per_second(uint64_t bytes, uint64_t ns) {
  return static_cast<double>(bytes) * 1e9 / static_cast<double>(ns);
}

}  // namespace

void HidingMeter::note_staged(const SnapshotReport& report) {
  if (report.stage_ns <= report.slot_wait_ns || report.total_bytes == 0) return;
  std::lock_guard lock(mutex_);
  copy_bytes_per_s_.add(per_second(report.total_bytes, report.stage_ns - report.slot_wait_ns));
}

void HidingMeter::note_written(const SnapshotReport& report) {
  if (report.written_bytes < kDiskBytesMin || report.write_ns == 0) return;
  std::lock_guard lock(mutex_);
  disk_bytes_per_s_.add(per_second(report.written_bytes, report.write_ns));
}

void HidingMeter::note_return(Clock::time_point now) {
  std::lock_guard lock(mutex_);
  returned_ = now;
}

void HidingMeter::note_mutation(Clock::time_point now) {
  std::lock_guard lock(mutex_);
  if (!returned_) return;
  step_s_.add(static_cast<double>(ns_between(*returned_, now)) / 1e9);
  returned_.reset();
}

void HidingMeter::fill(HidingInputs& inputs) const {
  std::lock_guard lock(mutex_);
  inputs.copy_bytes_per_s = copy_bytes_per_s_.value();
  inputs.disk_bytes_per_s = disk_bytes_per_s_.value();
  inputs.step_s = step_s_.value();
}

}  // namespace tintype
