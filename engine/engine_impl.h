// Inside an Engine: the parts of the pipeline, and the way of a save through them.
#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "engine/committer.h"
#include "engine/copy_crew.h"
#include "engine/early_buffer.h"
#include "engine/encode_crew.h"
#include "engine/engine.h"
#include "engine/engine_options.h"
#include "engine/hiding_meter.h"
#include "engine/interrupt_poll.h"
#include "engine/plan_cache.h"
#include "engine/save_job.h"
#include "engine/slot_pool.h"
#include "engine/stager.h"
#include "engine/staging.h"
#include "engine/trace.h"
#include "engine/turnstile.h"
#include "engine/watchdog.h"
#include "engine/writer.h"
#include "io/disk/backend.h"

namespace tintype {

// What a closed engine answers.
Status closed_status();

class Engine::Impl {
 public:
  using CorePointer = std::shared_ptr<SnapshotCore>;

  Impl(EngineOptions options, ChosenBackend backend, std::unique_ptr<Trace> trace)
      : options_(std::move(options)),
        backend_note_(std::move(backend.note)),
        trace_(std::move(trace)),
        queue_(std::move(backend.queue)),
        crew_(copy_thread_count(options_) - 1),
        pool_(fitting_extent_bytes(options_, crew_.size())),
        writer_(*queue_, pool_, options_),
        encoders_(writer_, pool_, encode_thread_count(options_), options_.queue_depth),
        stager_([this](const auto& staging) { end_staging(*staging); }),
        committer_([this](SaveJob& job, SnapshotState state) { account(job.core, state); },
                   [this](SaveJob& job, bool was_given_up) { leave(job.core, was_given_up); }),
        watchdog_(stall_timeout(), [this](const CorePointer& core) { give_up(core); }) {}

  // Once, before anything else: the threads that no save can do without. An engine that this fails
  // for is destroyed.
  Status start();
  Result<std::shared_ptr<Snapshot>> save_async(SaveRequest request,
                                               const InterruptCheck& is_interrupted);
  Status before_mutation(const InterruptCheck& is_interrupted,
                         std::span<const DeviceStream> streams);
  Status prepare(uint64_t storage_bytes, Device* device, bool is_compressed,
                 const InterruptCheck& is_interrupted);
  Status wait(const InterruptCheck& is_interrupted);
  void refuse_new_saves();
  EngineStats stats() const;
  std::vector<std::shared_ptr<Snapshot>> take_unseen_failures(const Snapshot* except);
  bool is_forked_child() const { return ::getpid() != process_; }
  // A hanging disk holds memory and threads of this engine.
  bool is_stalled() const { return stalled_ > 0; }

 private:
  Result<std::shared_ptr<SaveJob>> make_job(SaveRequest request);
  Status check_room(const SaveJob& job, bool& is_skipped) const;
  Status enter(SaveJob& job, const InterruptCheck& is_interrupted, bool& is_skipped);
  Result<std::shared_ptr<const SavePlan>> make_plan(const SaveRequest& request);
  Status ensure_pool(uint64_t image_bytes, bool is_compressed);
  bool wants_pinning() const {
    return !is_pinning_refused_ && pool_.pinned_bytes() < pool_.total_bytes();
  }
  void pin_pool(Device& device, const InterruptCheck& is_stopped);
  Status ready_pool(const SaveJob& job, InterruptPoll& interrupts);
  void begin_job(const std::shared_ptr<SaveJob>& job, InterruptPoll& interrupts);
  Status run_staging(const std::shared_ptr<SaveJob>& job, const InterruptCheck& is_interrupted);
  void stage(const std::shared_ptr<Staging>& staging, InterruptPoll& interrupts);
  void end_staging(Staging& staging);
  void forecast(SaveJob& job);
  Status hold(Staging& staging, const InterruptCheck& is_interrupted,
              std::span<const DeviceStream> streams);
  void account(const CorePointer& core, SnapshotState state);
  void leave(const CorePointer& core, bool was_given_up);
  void give_up(const CorePointer& core);
  bool may_start() const;  // under the turnstile's lock
  std::chrono::milliseconds stall_timeout() const {
    return std::chrono::milliseconds(options_.stall_timeout_ms);
  }

  const EngineOptions options_;
  const std::string backend_note_;
  const pid_t process_ = ::getpid();

  // Order of destruction matters: committer, stager, writer, crew end before what they use.
  const std::unique_ptr<Trace> trace_;  // null: none
  std::atomic<uint64_t> save_count_ = 0;
  std::unique_ptr<WriteQueue> queue_;
  CopyCrew crew_;
  SlotPool pool_;
  EarlyBuffer early_buffer_;
  HidingMeter meter_;
  std::atomic<bool> is_wait_logged_ = false;
  std::atomic<bool> is_pinning_refused_ = false;
  PlanCache plans_;
  Writer writer_;
  EncodeCrew encoders_;
  Turnstile turnstile_;
  bool is_closed_ = false;  // guarded by the turnstile
  uint64_t in_flight_ = 0;  // saves that hold a place; guarded by the turnstile
  // With a number in the order of their starts; and those whose callbacks still run. Likewise.
  std::map<CorePointer, uint64_t> running_;
  uint64_t last_started_ = 0;          // likewise
  std::atomic<uint64_t> stalled_ = 0;  // saves given up that are not cleared away

  mutable std::mutex mutex_;
  std::condition_variable ended_;
  EngineStats stats_;                               // guarded by mutex_
  std::deque<std::shared_ptr<Snapshot>> failures_;  // guarded by mutex_
  Stager stager_;
  Committer committer_;
  Watchdog watchdog_;
};

}  // namespace tintype
