#include "engine/committer.h"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "base/threads.h"

namespace tintype {

struct Committer::Inbox {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::shared_ptr<SaveJob>> jobs;  // guarded by mutex
  bool is_stopping = false;                   // guarded by mutex

  void ring() {
    { std::lock_guard lock(mutex); }  // whoever looks now waits before this or sees what changed
    changed.notify_all();
  }
};

Committer::Committer(Account account, OnFinished on_finished)
    : account_(std::move(account)),
      on_finished_(std::move(on_finished)),
      inbox_(std::make_shared<Inbox>()) {}

Status Committer::start() {
  TINTYPE_ASSIGN_OR_RETURN(thread_, start_thread("tintype-commit", [this] { run(); }));
  return Status::ok();
}

Committer::~Committer() {
  {
    std::lock_guard lock(inbox_->mutex);
    inbox_->is_stopping = true;
  }
  inbox_->changed.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Committer::enqueue(std::shared_ptr<SaveJob> job) {
  job->core->set_observer([inbox = inbox_] { inbox->ring(); });
  {
    std::lock_guard lock(inbox_->mutex);
    inbox_->jobs.push_back(std::move(job));
  }
  inbox_->changed.notify_all();
}

void Committer::run() {
  Inbox& inbox = *inbox_;
  std::unique_lock lock(inbox.mutex);
  for (;;) {
    std::shared_ptr<SaveJob> job;
    inbox.changed.wait(lock, [&] {
      job = take_ready();
      return job != nullptr || (inbox.is_stopping && inbox.jobs.empty());
    });
    if (job == nullptr) return;
    lock.unlock();
    complete(*job);
    job.reset();
    lock.lock();
  }
}

// REQUIRES: inbox_->mutex held. Null while there is nothing to finish. A doomed job makes nothing
// visible, so it neither waits for earlier ones nor holds up later ones.
std::shared_ptr<SaveJob> Committer::take_ready() {
  auto& jobs = inbox_->jobs;
  const auto next = std::find_if(jobs.begin(), jobs.end(),
                                 [](const auto& job) { return !job->core->is_doomed(); });
  const auto ready = std::find_if(jobs.begin(), jobs.end(), [&](const auto& job) {
    return !job->core->has_work() && (job->core->is_doomed() || job == *next);
  });
  if (ready == jobs.end()) return nullptr;
  auto job = std::move(*ready);
  jobs.erase(ready);
  return job;
}

void Committer::complete(SaveJob& job) {
  if (!job.core->is_doomed()) {
    StageTimer timer(job.trace, "commit");
    const Status status = commit_files(job);
    const uint64_t commit_ns = timer.stop_ns();
    job.core->update([&](SnapshotReport& report) { report.commit_ns = commit_ns; });
    if (!status.is_ok()) {
      job.core->fail(status);
    } else if (job.request.publisher != nullptr) {
      job.core->set_durable();
      if (!job.core->is_doomed()) publish(job);
    }
  }
  for (JobFile& file : job.files) {
    if (file.target != nullptr) closer_.close(file.target->take_replaced());
  }
  job.files.clear();  // abandons what was not committed: temps are gone before the state is final
  job.request.publisher.reset();
  job.trace.add_overlapping("save", job.core->started(), Clock::now(), job.core->path());
  const bool is_ended_here = job.core->finish([&](SnapshotState state) { account_(job, state); });
  on_finished_(job, !is_ended_here);
}

void Committer::publish(SaveJob& job) {
  Publisher& publisher = *job.request.publisher;
  StageTimer timer(job.trace, "publish");
  const Status status = publisher.publish();
  const uint64_t publish_ns = timer.stop_ns();
  job.core->update([&](SnapshotReport& report) { report.publish_ns = publish_ns; });
  if (!status.is_ok()) {
    job.core->fail(status.with_context("publish " + job.core->path()));
    return;
  }
  const StageTimer eviction(job.trace, "evict");
  publisher.evict();  // losers go only after the winners are published
}

// A snapshot's files become visible together or not at all: all are whole on the disk before the
// first takes its place, and the replaced ones go when the last has.
Status Committer::commit_files(SaveJob& job) {
  StageTimer sync(job.trace, "sync");
  for (size_t i = 0; i < job.files.size(); ++i) {
    TINTYPE_RETURN_IF_ERROR(seal_file(job, i).of_file(job.request.files[i].path, "save"));
    job.core->note_progress();
  }
  const uint64_t sync_ns = sync.stop_ns();
  job.core->update([&](SnapshotReport& report) { report.sync_ns = sync_ns; });
  if (!job.core->pass_point_of_no_return()) {
    return {StatusCode::cancelled,
            "cancelled before step 8b: '" + job.core->path() + "' is as it was"};
  }
  const StageTimer timer(job.trace, "expose");
  TINTYPE_RETURN_IF_ERROR(expose_files(job));
  for (JobFile& file : job.files) file.target->settle();
  return Status::ok();
}

Status Committer::seal_file(SaveJob& job, size_t index) {
  JobFile& file = job.files[index];
  uint64_t exact_bytes = file.planned_bytes;
  if (file.encoding != nullptr) {
    File& opened = file.target->file();
    if (file.is_direct)
      TINTYPE_RETURN_IF_ERROR(opened.set_direct(false));  // the ends have any size
    TINTYPE_ASSIGN_OR_RETURN(exact_bytes, file.encoding->write_ends(opened));
  }
  job.core->update([&](SnapshotReport& report) { report.stored_bytes += exact_bytes; });
  return file.target->seal(exact_bytes);
}

// In the order of the request, each durable before the next is visible.
Status Committer::expose_files(SaveJob& job) {
  for (size_t i = 0; i < job.files.size(); ++i) {
    Status status = job.files[i].target->expose();
    job.core->note_progress();
    if (status.is_ok()) continue;
    status = status.of_file(job.request.files[i].path, "save");
    while (i-- > 0) {
      if (job.files[i].target->retract().is_ok()) continue;
      status = status.with_context("'" + job.request.files[i].path + "' stands all the same");
    }
    return status;
  }
  return Status::ok();
}

}  // namespace tintype
