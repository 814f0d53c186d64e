// What a guarded save's caller is told of its waits, and those waits.
#include "base/log.h"
#include "engine/engine_impl.h"

namespace tintype {
namespace {

constexpr uint64_t kLoggedWaitNs = 1'000'000;  // what a job does not notice is not worth a line

}  // namespace

// Says in the report, and once in the log, what before_mutation() will wait for. REQUIRES: slabs
// are filled, those that are not too small.
void Engine::Impl::forecast(SaveJob& job) {
  HidingInputs inputs{.staged_bytes = job.plan->total_bytes,
                      .lazy_bytes = job.core->report().lazy_bytes,
                      .free_slot_bytes = pool_.free_bytes()};
  for (const SourceStorage& storage : job.request.storages) {
    if (storage.is_lazy && job.copies.is_gathered(storage)) inputs.slab_bytes += storage.size_bytes;
  }
  meter_.fill(inputs);
  const HidingForecast told = forecast_hiding(inputs);
  job.core->update([&](SnapshotReport& report) {
    report.hidden_bytes_predicted = told.hidden_bytes;
    report.guard_wait_ns_predicted = told.guard_wait_ns;
  });
  if (told.guard_wait_ns < kLoggedWaitNs || is_wait_logged_.exchange(true)) return;
  log_warning(describe_wait(inputs, told));
}

// A signal handler that runs in the wait, and other threads, may save meanwhile: those saves are
// waited for like the first.
Status Engine::Impl::before_mutation(const InterruptCheck& is_interrupted,
                                     std::span<const DeviceStream> streams) {
  meter_.note_mutation(Clock::now());
  Status status;
  std::shared_ptr<Staging> last;
  for (auto staging = stager_.guarded(); status.is_ok() && staging != nullptr && staging != last;
       staging = stager_.guarded()) {
    status = hold(*staging, is_interrupted, streams);
    last = std::move(staging);
  }
  return status;
}

// Until the staging reads no memory of the job any more. The witness answers before anybody goes
// on: what it was not told of by then was changed too early, by whatever thread.
Status Engine::Impl::hold(Staging& staging, const InterruptCheck& is_interrupted,
                          std::span<const DeviceStream> streams) {
  SaveJob& job = staging.job();
  StageTimer timer(job.trace, "guard");
  Status status;
  while (status.is_ok() && !stager_.wait_issued(staging, kInterruptPeriod)) {
    if (is_interrupted && is_interrupted()) {
      status = {StatusCode::interrupted, "interrupted while the guarded save copies; it goes on"};
    }
  }
  if (status.is_ok()) {
    if (job.tears != nullptr && !job.core->is_doomed()) job.tears->ask_witness();
    staging.release_streams(streams);
  }
  const uint64_t waited_ns = timer.stop_ns();
  job.core->update([&](SnapshotReport& report) {
    report.guard_wait_ns += waited_ns;
    report.blocking_ns += waited_ns;
  });
  return status;
}

}  // namespace tintype
