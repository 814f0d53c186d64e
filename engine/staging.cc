#include "engine/staging.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/early_copy.h"
#include "engine/torn_status.h"
#include "io/archive/plane_runs.h"

namespace tintype {
namespace {

// Between two looks at a device's event: at first as short as the copy of an extent.
constexpr std::chrono::microseconds kEventPeriodMin{100};
constexpr std::chrono::microseconds kEventPeriodMax{2000};

}  // namespace

Staging::Staging(std::shared_ptr<SaveJob> job, const StagingTools& tools)
    : job_(std::move(job)), tools_(tools) {}

Staging::~Staging() { TINTYPE_CHECK(filled_.empty()); }

void Staging::fail_on_error(const Status& status) {
  if (!status.is_ok()) job_->core->fail(status.of_file(job_->core->path(), "save"));
}

void Staging::begin(InterruptPoll& interrupts) {
  StageTimer timer(job_->trace, "copy early");
  Status status = job_->copies.record_start();
  if (status.is_ok()) status = job_->copies.gather(job_->request.storages);
  is_rest_early_ = status.is_ok() && (job_->tears != nullptr || is_rest_small(*job_));
  if (is_rest_early_) {
    status = copy_early(*job_, tools_.early_buffer, tools_.crew, early_copies_,
                        [&] { return interrupts.poll(); });
  }
  if (is_rest_early_ && job_->tears != nullptr) {
    read_probes(job_->tears->probe(job_->request.storages, std::random_device{}()));
    // Where all is in slabs the job may change it from now on, and before_mutation() does not ask.
    if (status.is_ok() && !reads_job_memory()) job_->tears->ask_witness();
  }
  fail_on_error(status);
}

bool Staging::reads_job_memory() const {
  const auto& storages = job_->request.storages;
  return std::any_of(storages.begin(), storages.end(), [&](const SourceStorage& storage) {
    const bool is_early = is_rest_early_ && !job_->is_lazy(storage);
    return !is_early && !job_->copies.is_gathered(storage);
  });
}

// Without devices nothing would be won by going on: the copies are over when issue() returns.
bool Staging::holds_caller() const {
  return job_->tears == nullptr && (job_->request.devices.empty() || reads_job_memory());
}

void Staging::issue(InterruptPoll& interrupts) {
  StageTimer timer(job_->trace, "stage");
  if (wait_while_wanted(early_copies_, &interrupts)) fail_on_error(early_copies_.wait());
  if (job_->plan->total_bytes < kCrewThresholdBytes) {
    copy_extents(&interrupts);
  } else {
    tools_.crew.run([&](bool is_caller) { copy_extents(is_caller ? &interrupts : nullptr); },
                    [&] { interrupts.poll(); });
  }
  if (job_->tears != nullptr) read_probes(job_->tears->probe_again(job_->request.storages));
  const uint64_t stage_ns = timer.stop_ns();
  job_->core->update([&](SnapshotReport& report) {
    report.slot_wait_ns = slot_wait_ns_;
    report.copy_ns = copy_ns_;
    report.stage_ns = stage_ns;
  });
}

// The order of lease and position matters: a thread first gets a slot, then takes the lowest
// position left. So the lowest unfinished position always has its slot, the writer can always free
// one by going on, and a pool of any size is free of deadlock.
void Staging::copy_extents(InterruptPoll* interrupts) {
  SourcePieces pieces;  // of one extent after the other: allocated once
  while (!job_->core->is_doomed()) {
    if (interrupts != nullptr) interrupts->poll();
    auto slot = lease(interrupts);
    if (!slot && is_finished()) return;
    if (!slot) continue;
    size_t position = 0;
    if (!take_position(position)) return;
    put(position, fill(position, std::move(*slot), pieces));
  }
}

// Where no slot is free, one that a device still copies into comes free only after it was sealed.
std::optional<SlotLease> Staging::lease(InterruptPoll* interrupts) {
  if (auto slot = tools_.pool.lease(std::chrono::milliseconds(0))) return slot;
  StageTimer timer(job_->trace, "wait for slot");
  std::optional<SlotLease> slot;
  CopiesInFlight next;
  if (find_next(next)) {
    wait_while_wanted(next, interrupts);
  } else {
    slot = tools_.pool.lease(kInterruptPeriod);
  }
  const uint64_t waited_ns = timer.stop_ns();
  if (interrupts != nullptr) slot_wait_ns_ += waited_ns;
  return slot;
}

bool Staging::is_finished() {
  std::lock_guard lock(mutex_);
  return next_position_ == job_->filler.extent_count();
}

bool Staging::take_position(size_t& position) {
  std::lock_guard lock(mutex_);
  if (next_position_ == job_->filler.extent_count()) return false;
  position = next_position_++;
  return true;
}

// Extents of the planes form are split by the device that they come from, where it can. Only out of
// slabs: a job that waits for its copies has them by a copy engine.
std::unique_ptr<SplitFilling> Staging::plan_split(size_t position, MutableBytes bytes) const {
  const FileEncoding* encoding = job_->files[job_->plan->order[position].image].encoding.get();
  if (job_->request.devices.empty() || encoding == nullptr ||
      encoding->form().form != FileForm::planes) {
    return nullptr;
  }
  const Extent& extent = job_->filler.extent(position);
  const auto runs = cut_plane_runs(extent.size_bytes,
                                   encoding->elements().runs_in(extent.offset, extent.size_bytes));
  return SplitFilling::make(
      runs, job_->filler.segments(position), job_->request.storages,
      [&](const SourceStorage& storage) { return split_source(storage, bytes); }, bytes);
}

// Lazy host memory stays as it is, to be compared with its probes.
SplitFilling::Source Staging::split_source(const SourceStorage& storage, ByteView target) const {
  using Source = SplitFilling::Source;
  if (storage.device == kHostMemory) return job_->is_lazy(storage) ? Source::plain : Source::any;
  const Device& device = *job_->request.devices[storage.device].device;
  const bool is_splitting = job_->copies.is_gathered(storage) && device.can_split(target);
  return is_splitting ? Source::splitting : Source::plain;
}

Staging::Filled Staging::fill(size_t position, SlotLease slot, SourcePieces& pieces) {
  StageTimer timer(job_->trace, "copy");
  const MutableBytes bytes = slot.bytes();
  Filled filled{.slot = std::move(slot), .split = plan_split(position, bytes), .copies = {}};
  pieces.clear();
  job_->filler.fill(position, bytes, pieces, filled.split.get());
  fail_on_error(job_->copies.copy(pieces, filled.copies));
  copy_ns_ += timer.stop_ns();
  return filled;
}

void Staging::put(size_t position, Filled filled) {
  std::lock_guard lock(mutex_);
  filled_.emplace(position, std::move(filled));
  seal_ready();
}

void Staging::seal_ready() {
  for (auto first = filled_.begin();
       first != filled_.end() && first->first == next_to_seal_ && first->second.copies.is_done();
       first = filled_.erase(first), ++next_to_seal_) {
    seal(next_to_seal_, first->second);
  }
}

void Staging::seal(size_t position, Filled& filled) {
  fail_on_error(filled.copies.wait());
  // A copy that failed may have ended before the probes that it should follow were read.
  if (job_->tears != nullptr && !job_->core->is_doomed()) compare_with_probes(position, filled);
  job_->filler.seal(position, filled.slot.bytes(), filled.split.get());
  hand_on(position, filled);
}

// In an extent that arrived split, only what is not in a slab, which nobody can tear.
void Staging::compare_with_probes(size_t position, const Filled& filled) {
  const auto segments = job_->filler.segments(position);
  const ByteView bytes = filled.slot.bytes();
  if (filled.split == nullptr) return job_->tears->compare_staged(segments, bytes);
  std::vector<Segment> compared;
  for (const Segment& segment : segments) {
    if (segment.source != Segment::Source::storage) continue;
    if (!job_->copies.is_gathered(job_->request.storages[segment.index])) {
      compared.push_back(segment);
    }
  }
  job_->tears->compare_staged(compared, bytes);
}

void Staging::hand_on(size_t position, Filled& filled) {
  SlotLease slot = std::move(filled.slot);
  const uint32_t file = job_->plan->order[position].image;
  if (job_->files[file].encoding != nullptr) {
    auto split = filled.split == nullptr
                     ? nullptr
                     : std::make_unique<const SplitExtent>(filled.split->finish());
    tools_.encoders.enqueue({job_, position, std::move(slot), std::move(split)});
    return;
  }
  const Extent& extent = job_->filler.extent(position);
  tools_.writer.enqueue({.job = job_,
                         .file = file,
                         .offset = extent.offset,
                         .size_bytes = padded_bytes(extent),
                         .counted_bytes = extent.size_bytes,
                         .slot = std::move(slot),
                         .ready = Clock::now()});
}

// Seals what has arrived and finds what the next in file order waits for. False where that is not
// on its way yet: all is sealed, or another thread is at it.
bool Staging::find_next(CopiesInFlight& next) {
  std::lock_guard lock(mutex_);
  seal_ready();  // copies may have ended since they were put here
  const auto first = filled_.begin();
  if (first == filled_.end() || first->first != next_to_seal_) return false;
  next = first->second.copies;
  return true;
}

// Until the copies are done, or nobody wants them any more: then false. The caller looks for
// signals meanwhile, and no thread is lost to a device that hangs.
bool Staging::wait_while_wanted(const CopiesInFlight& copies, InterruptPoll* interrupts) const {
  for (auto period = kEventPeriodMin; !copies.is_done();
       period = std::min(2 * period, kEventPeriodMax)) {
    if (interrupts != nullptr) interrupts->poll();
    if (job_->core->is_doomed()) return false;
    std::this_thread::sleep_for(period);
  }
  return true;
}

void Staging::release_streams(std::span<const DeviceStream> others) {
  fail_on_error(job_->copies.release_streams());
  for (const DeviceStream& other : others) {
    fail_on_error(job_->copies.release_stream(*other.device, other.stream));
  }
}

bool Staging::has_copies_in_flight() const {
  std::lock_guard lock(mutex_);
  return !filled_.empty() || !early_copies_.is_done() || !probe_copies_.is_done();
}

void Staging::complete() {
  for (CopiesInFlight next; find_next(next);) fail_on_error(next.wait());
  fail_on_error(early_copies_.wait());
  fail_on_error(probe_copies_.wait());
  if (job_->tears != nullptr && !job_->core->is_doomed()) judge_tears();
}

void Staging::read_probes(const SourcePieces& pieces) {
  fail_on_error(job_->copies.copy(pieces, probe_copies_));
}

void Staging::judge_tears() {
  TearWatch& tears = *job_->tears;
  tears.compare_readings();
  tears.ask_witness();
  const auto torn = tears.torn();
  if (torn.empty()) return;
  tears.tell_front_end();
  fail_on_error(torn_status(job_->request, torn));
}

}  // namespace tintype
