#include "engine/stager.h"

#include <utility>

#include "base/check.h"
#include "base/threads.h"

namespace tintype {

Stager::Stager(OnStaged on_staged) : on_staged_(std::move(on_staged)) {}

Status Stager::start() {
  TINTYPE_ASSIGN_OR_RETURN(thread_, start_thread("tintype-stage", [this] { run(); }));
  return Status::ok();
}

Stager::~Stager() {
  {
    std::lock_guard lock(mutex_);
    TINTYPE_CHECK(staging_ == nullptr);
    is_stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Stager::submit(std::shared_ptr<Staging> staging, bool is_issued) {
  {
    std::lock_guard lock(mutex_);
    TINTYPE_CHECK(staging_ == nullptr);
    staging_ = std::move(staging);
    is_issued_ = is_issued;
    is_guarded_ = !is_issued && staging_->reads_job_memory();
  }
  changed_.notify_all();
}

std::shared_ptr<Staging> Stager::guarded() const {
  std::lock_guard lock(mutex_);
  return is_guarded_ ? staging_ : nullptr;
}

bool Stager::wait_issued(const Staging& staging, std::chrono::milliseconds timeout) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return staging_.get() != &staging || is_issued_; });
}

void Stager::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_stopping_ || staging_ != nullptr; });
    if (staging_ == nullptr) return;
    const auto staging = staging_;
    lock.unlock();
    work_on(staging);
    lock.lock();
  }
}

void Stager::work_on(const std::shared_ptr<Staging>& staging) {
  std::unique_lock lock(mutex_);
  const bool is_issued = is_issued_;
  lock.unlock();
  if (!is_issued) {
    const InterruptCheck never;
    InterruptPoll interrupts(*staging->job().core, never);
    staging->issue(interrupts);
  }
  lock.lock();
  is_issued_ = true;
  lock.unlock();
  changed_.notify_all();
  staging->complete();
  lock.lock();
  staging_ = nullptr;
  lock.unlock();
  on_staged_(staging);  // lets the next save submit
}

}  // namespace tintype
