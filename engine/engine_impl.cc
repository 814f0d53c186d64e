#include "engine/engine_impl.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "base/log.h"
#include "engine/job_targets.h"
#include "engine/memory_budget.h"

namespace tintype {
namespace {

// `path` is what was to be saved; empty for other calls.
Status stalled_status(const std::string& path) {
  return errno_status(ETIMEDOUT, "save", path)
      .with_context("refused, as the disk has not answered for an earlier save yet");
}

// What a front end cannot have meant.
Status check_request(const SaveRequest& request) {
  if (request.files.empty()) return Status::invalid_argument("a save needs at least one file");
  for (const SourceDevice& device : request.devices) {
    if (device.device == nullptr) return Status::invalid_argument("a device of the save is null");
  }
  for (const SourceStorage& storage : request.storages) {
    if (storage.device == kHostMemory || storage.device < request.devices.size()) continue;
    return Status::invalid_argument("a storage names a device that the save does not have");
  }
  return Status::ok();
}

void count_guarded(const SaveRequest& request, SnapshotReport& report) {
  if (request.witness == nullptr) return;
  for (const SourceStorage& storage : request.storages) {
    (storage.is_lazy ? report.lazy_bytes : report.eager_bytes) += storage.size_bytes;
  }
}

}  // namespace

Status closed_status() { return Status::invalid_argument("this engine is closed: make a new one"); }

Status Engine::Impl::start() {
  TINTYPE_RETURN_IF_ERROR(writer_.start());
  TINTYPE_RETURN_IF_ERROR(stager_.start());
  TINTYPE_RETURN_IF_ERROR(committer_.start());
  return watchdog_.start();
}

bool Engine::Impl::may_start() const {
  if (is_closed_ || is_stalled()) return true;  // to be refused
  return options_.when_busy != WhenBusy::wait || in_flight_ < options_.max_in_flight;
}

Result<std::shared_ptr<SaveJob>> Engine::Impl::make_job(SaveRequest request) {
  TINTYPE_RETURN_IF_ERROR(check_request(request));
  const auto start = Clock::now();
  auto core =
      std::make_shared<SnapshotCore>(request.files.front().path, request.blocking_ns_before);
  const TraceContext trace{trace_.get(), ++save_count_};
  trace.add("capture", core->started(), start);
  StageTimer timer(trace, "plan");
  TINTYPE_ASSIGN_OR_RETURN(auto plan, make_plan(request));
  const uint64_t plan_ns = timer.stop_ns();
  core->update([&](SnapshotReport& report) {
    report.plan_ns = plan_ns;
    report.total_bytes = plan->total_bytes;
    report.storage_bytes = plan->storage_bytes;
    report.file_count = plan->images.size();
    report.capture_path = request.capture_path;
    count_guarded(request, report);
    report.backend = queue_->name();
  });
  auto job = std::make_shared<SaveJob>(std::move(core), std::move(request), std::move(plan));
  job->trace = trace;
  FileSystem* const other = options_.file_system;
  TINTYPE_RETURN_IF_ERROR(open_targets(other != nullptr ? *other : posix_file_system(), *job));
  return job;
}

Result<std::shared_ptr<const SavePlan>> Engine::Impl::make_plan(const SaveRequest& request) {
  uint64_t extent_bytes = pool_.slot_bytes();
  if (request.is_any_compressed()) {
    TINTYPE_ASSIGN_OR_RETURN(extent_bytes, encodable_extent_bytes(extent_bytes));
  }
  return plans_.plan(request, extent_bytes);
}

// REQUIRES: under the turnstile's lock.
Status Engine::Impl::check_room(const SaveJob& job, bool& is_skipped) const {
  if (is_closed_) return closed_status();
  if (is_stalled()) return stalled_status(job.core->path());
  if (in_flight_ < options_.max_in_flight || options_.when_busy == WhenBusy::wait) {
    return Status::ok();
  }
  is_skipped = options_.when_busy == WhenBusy::skip;
  if (is_skipped) return Status::ok();
  return {StatusCode::busy,
          fmt::format("{} saves are in flight, max_in_flight allows {}: wait for one, or use "
                      "when_busy=\"wait\"",
                      in_flight_, options_.max_in_flight)};
}

// Waits for this save's turn to stage. On success the turn is held and the save is in flight.
// Whoever does not want to wait is told at once, even while an earlier save stages.
Status Engine::Impl::enter(SaveJob& job, const InterruptCheck& is_interrupted, bool& is_skipped) {
  StageTimer timer(job.trace, "wait for turn");
  std::map<CorePointer, uint64_t> entry{{job.core, 0}};  // here, where memory may still be refused
  Status status;
  turnstile_.notify([&] { status = check_room(job, is_skipped); });
  if (!status.is_ok() || is_skipped) return status;
  if (!turnstile_.enter(is_interrupted, [this] { return may_start(); })) {
    return {StatusCode::interrupted, "interrupted while waiting for an earlier save"};
  }
  turnstile_.notify([&] {
    status = check_room(job, is_skipped);
    if (!status.is_ok() || is_skipped) return;
    ++in_flight_;
    entry.begin()->second = ++last_started_;
    running_.merge(entry);
  });
  if (!status.is_ok() || is_skipped) turnstile_.leave();
  const uint64_t waited_ns = timer.stop_ns();
  job.core->update([&](SnapshotReport& report) { report.busy_wait_ns = waited_ns; });
  return status;
}

// For an image of this size, beside the slots that encoders hold.
Status Engine::Impl::ensure_pool(uint64_t image_bytes, bool is_compressed) {
  image_bytes += encoders_.held_slots(is_compressed) * pool_.slot_bytes();
  const auto slots_for = [&](uint64_t budget_bytes) {
    const uint64_t wanted = options_.staging_bytes != 0
                                ? options_.staging_bytes
                                : staging_bytes_for(image_bytes, budget_bytes);
    return std::max<uint64_t>(1, wanted / pool_.slot_bytes());
  };
  constexpr uint64_t kUnbounded = UINT64_MAX;  // to find out takes longer than all of this
  if (slots_for(kUnbounded) <= pool_.slot_count()) return Status::ok();
  const uint64_t slots = slots_for(staging_budget_bytes());
  return slots > pool_.slot_count() ? pool_.grow_to(slots) : Status::ok();
}

// Registering memory with the kernel comes later, by the writer: it takes pinned memory as any.
// REQUIRES: it was touched, by several threads; pinning does it by one.
void Engine::Impl::pin_pool(Device& device, const InterruptCheck& is_stopped) {
  const Status status = pool_.pin(device, is_stopped);
  if (status.is_ok() || is_pinning_refused_.exchange(true)) return;
  log_warning(fmt::format("staging memory is not pinned, so that copies from {} hold the job: {}",
                          device.name(), status.to_string()));
}

// Staging memory for the job: enough, pinned for its devices, and the slots of those who encode.
Status Engine::Impl::ready_pool(const SaveJob& job, InterruptPoll& interrupts) {
  const bool is_compressed = job.request.is_any_compressed();
  TINTYPE_RETURN_IF_ERROR(ensure_pool(job.plan->total_bytes, is_compressed));
  const auto is_stopped = [&] { return interrupts.poll() || job.core->is_doomed(); };
  if (!job.request.devices.empty() && wants_pinning()) {
    const StageTimer timer(job.trace, "pin memory");
    pool_.touch_all(crew_.size(), is_stopped);
    pin_pool(*job.request.devices.front().device, is_stopped);
  }
  return is_compressed ? encoders_.reserve(is_stopped) : Status::ok();
}

// From here on the committer waits for the job, and the staging is a piece of its work.
void Engine::Impl::begin_job(const std::shared_ptr<SaveJob>& job, InterruptPoll& interrupts) {
  job->core->add_work(1);
  committer_.enqueue(job);
  watchdog_.watch(job->core);
  Status status = ready_pool(*job, interrupts);
  if (!status.is_ok()) job->core->fail(std::move(status));
}

// REQUIRES: this save's turn is held. It is given back when the staging ends, on whichever thread.
Status Engine::Impl::run_staging(const std::shared_ptr<SaveJob>& job,
                                 const InterruptCheck& is_interrupted) {
  InterruptPoll interrupts(*job->core, is_interrupted);
  begin_job(job, interrupts);
  const auto staging =
      std::make_shared<Staging>(job, StagingTools{pool_, writer_, encoders_, crew_, early_buffer_});
  stage(staging, interrupts);
  if (!interrupts.was_interrupted()) return Status::ok();
  Snapshot(job->core).wait_published(std::nullopt);  // the temp is gone before the caller goes on
  return {StatusCode::interrupted, "interrupted: the save was cancelled, the old file stands"};
}

// Holds the caller for as long as it must not go on.
void Engine::Impl::stage(const std::shared_ptr<Staging>& staging, InterruptPoll& interrupts) {
  SaveJob& job = staging->job();
  staging->begin(interrupts);
  if (job.tears != nullptr) forecast(job);
  const bool is_held = staging->holds_caller() || job.core->is_doomed();
  if (is_held) {
    staging->issue(interrupts);
    staging->release_streams();
  }
  const bool is_over = is_held && !staging->has_copies_in_flight();
  if (is_over) staging->complete();
  const auto end = Clock::now();
  job.trace.add("save_async", job.core->started(), end);
  job.core->update(
      [&](SnapshotReport& report) { report.blocking_ns = ns_between(job.core->started(), end); });
  if (is_over) {
    end_staging(*staging);
  } else {
    if (job.tears != nullptr) meter_.note_return(end);
    stager_.submit(staging, is_held);
  }
}

void Engine::Impl::end_staging(Staging& staging) {
  SaveJob& job = staging.job();
  job.request.storage_owner.reset();
  if (!job.core->is_doomed()) {
    meter_.note_staged(job.core->report());
    job.core->set_staged();
  }
  job.core->finish_work(1);
  turnstile_.leave();
}

Result<std::shared_ptr<Snapshot>> Engine::Impl::save_async(SaveRequest request,
                                                           const InterruptCheck& is_interrupted) {
  // Making the job looks at the disk, which must not hold the caller as well.
  if (is_stalled()) return stalled_status(request.files.empty() ? "" : request.files.front().path);
  TINTYPE_ASSIGN_OR_RETURN(auto job, make_job(std::move(request)));
  auto snapshot = std::make_shared<Snapshot>(job->core);
  bool is_skipped = false;
  TINTYPE_RETURN_IF_ERROR(enter(*job, is_interrupted, is_skipped));
  {
    std::lock_guard lock(mutex_);
    ++(is_skipped ? stats_.saves_skipped : stats_.saves_started);
  }
  if (is_skipped) {
    job->core->finish_as_skipped();
    return snapshot;
  }
  TINTYPE_RETURN_IF_ERROR(run_staging(job, is_interrupted));
  return snapshot;
}

// A save gives its place back before anybody can see that it ended.
void Engine::Impl::account(const CorePointer& core, SnapshotState state) {
  turnstile_.notify([this] { --in_flight_; });
  const SnapshotReport report = core->report();
  if (state == SnapshotState::published) meter_.note_written(report);
  std::lock_guard lock(mutex_);
  stats_.written_bytes += report.written_bytes;
  if (state == SnapshotState::published) ++stats_.saves_published;
  if (state == SnapshotState::cancelled) ++stats_.saves_cancelled;
  if (state == SnapshotState::failed) {
    ++stats_.saves_failed;
    failures_.push_back(std::make_shared<Snapshot>(core));
  }
}

void Engine::Impl::leave(const CorePointer& core, bool was_given_up) {
  turnstile_.notify([&] {
    was_given_up ? --stalled_ : running_.erase(core);
    ended_.notify_all();
  });
}

// The save ends for everybody but the threads and the kernel, which may hold its slots and files
// for as long as the disk hangs: they are cleared away when it answers.
void Engine::Impl::give_up(const CorePointer& core) {
  ++stalled_;  // whoever sees the failure finds new saves refused
  const bool is_ended_here =
      core->give_up(stall_timeout(), [&](SnapshotState state) { account(core, state); });
  leave(core, !is_ended_here);
}

Status Engine::Impl::prepare(uint64_t storage_bytes, Device* device, bool is_compressed,
                             const InterruptCheck& is_interrupted) {
  bool is_closed = false;
  turnstile_.notify([&] { is_closed = is_closed_; });
  if (is_closed) return closed_status();
  if (is_stalled()) return stalled_status("");
  TINTYPE_RETURN_IF_ERROR(ensure_pool(storage_bytes, is_compressed));
  bool is_stopped = false;  // not asked again once it was true: the signal is taken then
  const auto stop = [&] { return is_stopped || (is_stopped = is_interrupted && is_interrupted()); };
  pool_.touch_all(crew_.size(), stop);
  if (device != nullptr && wants_pinning()) pin_pool(*device, stop);
  if (is_stopped) return {StatusCode::interrupted, "interrupted: some of the memory is prepared"};
  writer_.register_memory([this] { return is_stalled(); });
  return Status::ok();
}

// Not for those that start meanwhile: another thread may never stop saving.
Status Engine::Impl::wait(const InterruptCheck& is_interrupted) {
  uint64_t last_awaited = 0;
  turnstile_.notify([&] { last_awaited = last_started_; });
  const auto is_awaited = [&](const auto& running) { return running.second <= last_awaited; };
  for (;;) {
    bool is_over = false;
    turnstile_.notify([&] { is_over = std::ranges::none_of(running_, is_awaited); });
    if (is_over) {
      if (trace_ != nullptr) trace_->flush();
      return Status::ok();
    }
    if (is_interrupted && is_interrupted()) {
      return {StatusCode::interrupted, "interrupted while waiting; the saves go on"};
    }
    std::unique_lock lock(mutex_);
    ended_.wait_for(lock, std::chrono::milliseconds(10));
  }
}

void Engine::Impl::refuse_new_saves() {
  turnstile_.notify([this] { is_closed_ = true; });
}

EngineStats Engine::Impl::stats() const {
  const std::string refusal = writer_.registration_refusal();  // waits for a registration under way
  std::lock_guard lock(mutex_);
  EngineStats stats = stats_;
  stats.staging_bytes = pool_.total_bytes();
  stats.pinned_bytes = pool_.pinned_bytes();
  stats.in_flight =
      stats.saves_started - stats.saves_published - stats.saves_failed - stats.saves_cancelled;
  stats.saves_stalled = stalled_;
  stats.backend = queue_->name();
  stats.backend_note = backend_note_.empty() ? refusal : backend_note_;
  if (!has_huffman_mode()) stats.encode_note = kNoHuffmanModeNote;
  return stats;
}

std::vector<std::shared_ptr<Snapshot>> Engine::Impl::take_unseen_failures(const Snapshot* except) {
  std::lock_guard lock(mutex_);
  std::vector<std::shared_ptr<Snapshot>> unseen;
  std::deque<std::shared_ptr<Snapshot>> kept;
  for (auto& snapshot : failures_) {
    if (snapshot->core_->is_seen()) continue;
    if (except != nullptr && snapshot->core_ == except->core_) {
      kept.push_back(std::move(snapshot));
    } else {
      unseen.push_back(std::move(snapshot));
    }
  }
  failures_.swap(kept);
  return unseen;
}

}  // namespace tintype
