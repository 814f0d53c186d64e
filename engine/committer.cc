#include "engine/committer.h"

#include <utility>

#include "base/threads.h"

namespace tintype {

Committer::Committer(Account account, std::function<void()> release)
    : account_(std::move(account)), release_(std::move(release)) {
  thread_ = start_thread("tintype-commit", [this] { run(); });
}

Committer::~Committer() {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Committer::enqueue(std::shared_ptr<SaveJob> job) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
  }
  changed_.notify_all();
}

void Committer::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_stopping_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    complete(*job);
    job.reset();
    lock.lock();
  }
}

void Committer::complete(SaveJob& job) {
  job.core->wait_for_work();
  const auto start = Clock::now();
  if (!job.core->is_doomed()) {
    if (Status status = commit_files(job); !status.is_ok()) {
      job.core->fail(status);
    } else {
      job.core->set_durable();
      if (job.request.publisher != nullptr) {
        status = job.request.publisher->publish();
        if (!status.is_ok()) job.core->fail(status.with_context("publish " + job.core->path()));
        // Losers go only after the winners are published.
        if (status.is_ok()) job.request.publisher->evict();
      }
    }
  }
  job.core->update(
      [&](SnapshotReport& report) { report.commit_ns = ns_between(start, Clock::now()); });
  for (JobFile& file : job.files) {
    if (file.target != nullptr) closer_.close(file.target->take_replaced());
  }
  job.files.clear();  // abandons what was not committed: temps are gone before the state is final
  job.request.publisher.reset();
  job.core->finish([&](SnapshotState state) { account_(job, state); });
  release_();
}

Status Committer::commit_files(SaveJob& job) {
  const AtomicFile::CommitHooks hooks{
      .verify = {}, .may_pass_8b = [&job] { return job.core->pass_point_of_no_return(); }};
  for (size_t i = 0; i < job.files.size(); ++i) {
    const uint64_t exact_bytes = job.plan.images[i].layout.total_bytes;
    TINTYPE_RETURN_IF_ERROR(job.files[i]
                                .target->commit(exact_bytes, hooks)
                                .with_context("save " + job.request.files[i].path));
  }
  return Status::ok();
}

}  // namespace tintype
