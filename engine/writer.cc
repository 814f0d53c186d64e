#include "engine/writer.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "base/threads.h"

namespace tintype {
namespace {

constexpr std::chrono::milliseconds kIdleWait{1000};
constexpr std::chrono::milliseconds kRegistrationWait{50};
// A cancelled save gives its slots back by then.
constexpr std::chrono::milliseconds kRateWaitMax{20};

}  // namespace

Writer::Writer(WriteQueue& queue, SlotPool& pool, const EngineOptions& options)
    : queue_(queue),
      writes_(queue),
      pool_(pool),
      direct_io_(options.direct_io),
      byte_rate_limit_(options.byte_rate_limit) {}

Status Writer::start() {
  TINTYPE_ASSIGN_OR_RETURN(thread_, start_thread("tintype-write", [this] { run(); }));
  return Status::ok();
}

Writer::~Writer() {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  writes_.wake();
  if (thread_.joinable()) thread_.join();
  TINTYPE_CHECK(in_flight_.empty() && pending_.empty());
}

void Writer::enqueue(SlotWrite write) {
  write.job->core->add_work(1);
  ++unfinished_;
  {
    std::lock_guard lock(mutex_);
    incoming_.push_back(std::move(write));
  }
  writes_.wake();
}

void Writer::register_memory(const std::function<bool()>& is_stalled) {
  std::unique_lock lock(mutex_);
  is_registration_wanted_ = true;
  writes_.wake();
  while (!registered_.wait_for(lock, kRegistrationWait, [&] { return !is_registration_wanted_; })) {
    if (is_stalled()) return;
  }
}

std::string Writer::registration_refusal() const {
  std::lock_guard lock(mutex_);
  return registration_.to_string();
}

// One turn: (1) take what was sealed, (2) start writes, (3) wait for completions, (4) finish them.
void Writer::run() {
  for (;;) {
    const bool is_stopping = take_incoming();
    drop_doomed();
    start_writes();
    if (is_stopping && pending_.empty() && in_flight_.empty()) return;
    const auto timeout = pending_.empty() ? kIdleWait : time_until_allowed();
    if (auto status = writes_.poll(finished_, timeout); !status.is_ok()) {
      // The queue itself is broken: nothing in flight can be trusted to arrive.
      for (auto& [token, started] : in_flight_) started.write.job->core->fail(status);
    }
    for (FinishedWrite& write : finished_) finish(write);
    finished_.clear();
  }
}

bool Writer::take_incoming() {
  std::lock_guard lock(mutex_);
  std::move(incoming_.begin(), incoming_.end(), std::back_inserter(pending_));
  incoming_.clear();
  if (in_flight_.empty() && (is_registration_wanted_ || !pending_.empty())) update_registration();
  if (is_registration_wanted_ && in_flight_.empty()) {
    is_registration_wanted_ = false;
    registered_.notify_all();
  }
  return is_stopping_;
}

// Registration replaces the whole set, so it happens only while nothing is in flight.
void Writer::update_registration() {
  if (!registration_.is_ok()) return;
  const auto regions = pool_.touched_regions();
  if (regions.size() == registered_regions_) return;
  registration_ = queue_.register_buffers(regions);  // an optimisation: ordinary writes serve
  if (registration_.is_ok()) registered_regions_ = regions.size();
}

// A failed or cancelled save gives its slots back at once, also from behind a slow one.
void Writer::drop_doomed() {
  const auto first =
      std::stable_partition(pending_.begin(), pending_.end(),
                            [](const SlotWrite& write) { return !write.job->core->is_doomed(); });
  std::for_each(first, pending_.end(), [&](SlotWrite& write) { drop(std::move(write)); });
  pending_.erase(first, pending_.end());
}

void Writer::start_writes() {
  while (!pending_.empty()) {
    if (pending_.front().job->core->is_doomed()) {
      drop(std::move(pending_.front()));
    } else if (!writes_.has_room() || time_until_allowed().count() > 0 ||
               !start(pending_.front())) {
      return;
    }
    pending_.pop_front();
  }
}

// True when the write was taken over (started, or dropped because its file cannot be made).
bool Writer::start(SlotWrite& write) {
  SaveJob& job = *write.job;
  JobFile& file = job.files[write.file];
  if (!file.is_begun) {
    if (auto status = begin_file(job, file); !status.is_ok()) {
      job.core->fail(status.of_file(job.request.files[write.file].path, "save"));
      drop(std::move(write));
      return true;
    }
  }
  const WriteRequest request{.file = &file.target->file(),
                             .data = write.slot.bytes().first(write.size_bytes),
                             .offset = write.offset,
                             .token = next_token_++};
  if (byte_rate_limit_ != 0) {
    const auto cost =
        std::chrono::nanoseconds(request.data.size() * 1'000'000'000 / byte_rate_limit_);
    next_start_ = std::max(next_start_, Clock::now()) + cost;
  }
  in_flight_.emplace(request.token, InFlight{std::move(write), Clock::now()});
  writes_.start(request, file.is_direct && direct_io_ == DirectIo::preferred);
  return true;
}

Status Writer::begin_file(SaveJob& job, JobFile& file) {
  file.is_begun = true;
  const StageTimer timer(job.trace, "begin file");
  TINTYPE_RETURN_IF_ERROR(file.target->begin(file.planned_bytes, file.encoding != nullptr));
  job.core->note_progress();
  if (direct_io_ == DirectIo::off) return Status::ok();
  const Status status = file.target->file().set_direct(true);
  if (!status.is_ok() && direct_io_ == DirectIo::required) return status;
  file.is_direct = status.is_ok();
  job.core->update([&](SnapshotReport& report) {
    report.is_direct_io = file.is_direct;
    report.backend = queue_.name();
  });
  return Status::ok();
}

void Writer::finish(FinishedWrite& finished) {
  auto node = in_flight_.extract(finished.token);
  TINTYPE_CHECK(!node.empty());
  InFlight& done = node.mapped();
  SlotWrite& write = done.write;
  SnapshotCore& core = *write.job->core;
  if (finished.status.is_ok()) {
    core.add_written(write.counted_bytes);
  } else {
    const std::string where =
        fmt::format("write {} bytes at {:#x}", write.size_bytes, write.offset);
    core.fail(finished.status.with_context(where).of_file(write.job->request.files[write.file].path,
                                                          "save"));
  }
  count_for_report(done);
  drop(std::move(write));
}

void Writer::count_for_report(const InFlight& done) {
  SaveJob& job = *done.write.job;
  const WriterCounters counters = writes_.counters();
  const auto now = Clock::now();
  job.trace.add_overlapping("queued", done.write.ready, done.started);
  job.trace.add_overlapping("write", done.started, now);
  job.first_write = std::min(job.first_write, done.started);
  job.core->update([&](SnapshotReport& report) {
    report.queue_wait_ns += ns_between(done.write.ready, done.started);
    report.write_ns = ns_between(job.first_write, now);
    report.short_writes = counters.short_writes;
    report.retried_writes = counters.retried_writes;
    if (counters.demotions > 0) report.is_direct_io = false;
  });
}

void Writer::drop(SlotWrite write) {
  auto job = std::move(write.job);
  write.slot = SlotLease();  // returned before the job may become final
  --unfinished_;
  job->core->finish_work(1);
}

std::chrono::milliseconds Writer::time_until_allowed() const {
  if (byte_rate_limit_ == 0) return kIdleWait * (writes_.has_room() ? 0 : 1);
  const auto rest = std::chrono::ceil<std::chrono::milliseconds>(next_start_ - Clock::now());
  return std::clamp(rest, std::chrono::milliseconds(0), kRateWaitMax);
}

}  // namespace tintype
