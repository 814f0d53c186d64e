#include "engine/stager.h"

#include <utility>

#include "base/threads.h"

namespace tintype {
namespace {

constexpr std::chrono::milliseconds kInterruptPeriod{50};
constexpr uint64_t kCrewThresholdBytes = 4ull << 20;  // below, waking helpers does not pay

// One job's staging. The order of lease and position matters: a thread first gets a slot, then
// takes the lowest position left. So the lowest unfinished position always has its slot, the writer
// can always free one by going on, and a pool of any size is free of deadlock.
class Staging {
 public:
  Staging(const std::shared_ptr<SaveJob>& job, SlotPool& pool, Writer& writer,
          const InterruptCheck& is_interrupted)
      : job_(job), pool_(pool), writer_(writer), is_interrupted_(is_interrupted) {}

  void copy_extents(bool is_caller) {
    while (!job_->core->is_doomed()) {
      if (is_caller) check_interrupt();
      auto slot = lease(is_caller);
      if (!slot && is_finished()) return;
      if (!slot) continue;
      size_t position = 0;
      if (!take_position(position)) return;
      StageTimer timer(job_->trace, "copy");
      job_->filler.fill(position, slot->bytes());
      copy_ns_ += timer.stop_ns();
      seal_in_order(position, std::move(*slot));
    }
  }

  // Caller's thread only.
  void check_interrupt() {
    const auto now = Clock::now();
    if (was_interrupted_ || !is_interrupted_ || now - last_check_ < kInterruptPeriod) return;
    last_check_ = now;
    if (is_interrupted_()) {
      was_interrupted_ = true;
      job_->core->request_cancel();
    }
  }

  bool was_interrupted() const { return was_interrupted_; }
  uint64_t slot_wait_ns() const { return slot_wait_ns_; }
  uint64_t copy_ns() const { return copy_ns_; }

 private:
  std::optional<SlotLease> lease(bool is_caller) {
    if (auto slot = pool_.lease(std::chrono::milliseconds(0))) return slot;
    StageTimer timer(job_->trace, "wait for slot");
    auto slot = pool_.lease(kInterruptPeriod);
    const uint64_t waited_ns = timer.stop_ns();
    if (is_caller) slot_wait_ns_ += waited_ns;
    return slot;
  }

  bool is_finished() {
    std::lock_guard lock(mutex_);
    return next_position_ == job_->filler.extent_count();
  }

  bool take_position(size_t& position) {
    std::lock_guard lock(mutex_);
    if (next_position_ == job_->filler.extent_count()) return false;
    position = next_position_++;
    return true;
  }

  void seal_in_order(size_t position, SlotLease slot) {
    std::lock_guard lock(mutex_);
    filled_.emplace(position, std::move(slot));
    for (auto first = filled_.begin(); first != filled_.end() && first->first == next_to_seal_;
         first = filled_.erase(first), ++next_to_seal_) {
      job_->filler.seal(next_to_seal_, first->second.bytes());
      writer_.enqueue({job_, next_to_seal_, std::move(first->second), Clock::now()});
    }
  }

  const std::shared_ptr<SaveJob>& job_;
  SlotPool& pool_;
  Writer& writer_;
  const InterruptCheck& is_interrupted_;
  Clock::time_point last_check_ = Clock::now();
  bool was_interrupted_ = false;
  uint64_t slot_wait_ns_ = 0;
  std::atomic<uint64_t> copy_ns_ = 0;

  std::mutex mutex_;
  size_t next_position_ = 0;  // all below guarded by mutex_
  size_t next_to_seal_ = 0;
  std::map<size_t, SlotLease> filled_;  // waiting for an earlier extent
};

}  // namespace

CopyCrew::CopyCrew(unsigned helper_count) {
  for (unsigned i = 0; i < helper_count; ++i) {
    helpers_.push_back(start_thread("tintype-copy", [this] { help(); }));
  }
}

CopyCrew::~CopyCrew() {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  started_.notify_all();
  for (auto& helper : helpers_) helper.join();
}

void CopyCrew::run(const std::function<void(bool)>& body,
                   const std::function<void()>& while_waiting) {
  {
    std::lock_guard lock(mutex_);
    body_ = &body;
    running_ = static_cast<unsigned>(helpers_.size());
    ++round_;
  }
  started_.notify_all();
  body(true);
  std::unique_lock lock(mutex_);
  while (!finished_.wait_for(lock, kInterruptPeriod, [&] { return running_ == 0; })) {
    lock.unlock();
    while_waiting();
    lock.lock();
  }
  body_ = nullptr;
}

void CopyCrew::help() {
  uint64_t last_round = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    started_.wait(lock, [&] { return is_stopping_ || round_ != last_round; });
    if (is_stopping_) return;
    last_round = round_;
    const auto& body = *body_;
    lock.unlock();
    body(false);
    lock.lock();
    if (--running_ == 0) finished_.notify_all();
  }
}

bool stage(const std::shared_ptr<SaveJob>& job, SlotPool& pool, Writer& writer, CopyCrew& crew,
           const InterruptCheck& is_interrupted) {
  StageTimer timer(job->trace, "stage");
  Staging staging(job, pool, writer, is_interrupted);
  if (job->plan.total_bytes < kCrewThresholdBytes) {
    staging.copy_extents(true);
  } else {
    crew.run([&](bool is_caller) { staging.copy_extents(is_caller); },
             [&] { staging.check_interrupt(); });
  }
  const uint64_t stage_ns = timer.stop_ns();
  job->core->update([&](SnapshotReport& report) {
    report.slot_wait_ns = staging.slot_wait_ns();
    report.copy_ns = staging.copy_ns();
    report.stage_ns = stage_ns;
  });
  return staging.was_interrupted();
}

}  // namespace tintype
