#include "engine/snapshot_core.h"

#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"

namespace tintype {
namespace {

Status cancelled_status() { return {StatusCode::cancelled, "the save was cancelled"}; }

Status other_process_status() {
  return {StatusCode::invalid_argument,
          "this snapshot belongs to the parent process: a forked child cannot wait for it"};
}

}  // namespace

SnapshotCore::SnapshotCore(std::string path, uint64_t front_end_ns)
    : path_(std::move(path)), started_(Clock::now() - std::chrono::nanoseconds(front_end_ns)) {
  report_.capture_ns = front_end_ns;
}

void SnapshotCore::fail(Status status) {
  TINTYPE_CHECK(!status.is_ok());
  {
    std::lock_guard lock(mutex_);
    if (error_.is_ok()) error_ = std::move(status);
    is_doomed_.store(true, std::memory_order_release);
    changed_.notify_all();
  }
  tell_observer();
}

bool SnapshotCore::request_cancel() {
  if (::getpid() != process_) return false;
  {
    std::lock_guard lock(mutex_);
    if (is_cancelled_) return true;
    if (is_final() || is_committed_ || !error_.is_ok()) return false;
    is_cancelled_ = true;
    error_ = cancelled_status();
    is_doomed_.store(true, std::memory_order_release);
    changed_.notify_all();
  }
  tell_observer();
  return true;
}

void SnapshotCore::set_staged() {
  std::lock_guard lock(mutex_);
  is_staged_ = true;
  if (state_ == SnapshotState::staging) state_ = SnapshotState::writing;
  changed_.notify_all();
}

void SnapshotCore::add_work(uint64_t count) {
  note_progress();
  std::lock_guard lock(mutex_);
  work_ += count;
}

void SnapshotCore::finish_work(uint64_t count) {
  note_progress();
  {
    std::lock_guard lock(mutex_);
    TINTYPE_CHECK(work_ >= count);
    work_ -= count;
    if (work_ > 0) return;
  }
  tell_observer();
}

bool SnapshotCore::has_work() const {
  std::lock_guard lock(mutex_);
  return work_ > 0;
}

bool SnapshotCore::pass_point_of_no_return() {
  std::lock_guard lock(mutex_);
  if (!error_.is_ok()) return false;
  is_committed_ = true;
  return true;
}

void SnapshotCore::set_durable() {
  note_progress();
  std::lock_guard lock(mutex_);
  if (is_ended_) return;  // given up
  state_ = SnapshotState::durable;
  become_durable(ns_between(started_, Clock::now()));
  changed_.notify_all();
}

void SnapshotCore::become_durable(uint64_t durable_ns) {
  is_durable_ = true;
  report_.durable_ns = durable_ns;
}

SnapshotState SnapshotCore::end() {
  is_ended_ = true;
  if (is_cancelled_) return SnapshotState::cancelled;
  if (!error_.is_ok()) return SnapshotState::failed;
  report_.published_ns = ns_between(started_, Clock::now());
  return SnapshotState::published;
}

bool SnapshotCore::finish(const std::function<void(SnapshotState)>& account) {
  SnapshotState final_state = SnapshotState::published;
  {
    std::lock_guard lock(mutex_);
    TINTYPE_CHECK(work_ == 0);
    if (is_ended_) return false;
    final_state = end();
  }
  // Whoever sees the final state finds the engine's figures and its place already given back.
  if (account) account(final_state);
  finish_as(final_state);
  return true;
}

bool SnapshotCore::give_up(std::chrono::milliseconds quiet_time,
                           const std::function<void(SnapshotState)>& account) {
  SnapshotState final_state = SnapshotState::failed;
  {
    std::lock_guard lock(mutex_);
    if (is_ended_) return false;
    if (error_.is_ok()) error_ = stalled_status(quiet_time);
    is_doomed_.store(true, std::memory_order_release);
    final_state = end();
  }
  if (account) account(final_state);
  finish_as(final_state);
  tell_observer();
  return true;
}

Status SnapshotCore::stalled_status(std::chrono::milliseconds quiet_time) const {
  const char* standing = "the old file stands";
  if (is_committed_) standing = "the new file may stand, and may not be durable";
  if (is_durable_) standing = "its files are durable, best, last and the index may not show them";
  return errno_status(ETIMEDOUT, "save", path_)
      .with_context(fmt::format("no progress for {} s, the save is given up, {}",
                                static_cast<double>(quiet_time.count()) / 1000, standing));
}

void SnapshotCore::finish_as_skipped() { finish_as(SnapshotState::skipped); }

void SnapshotCore::finish_as(SnapshotState state) {
  std::vector<std::function<void()>> callbacks;
  {
    std::lock_guard lock(mutex_);
    state_ = state;
    if (state == SnapshotState::published && !is_durable_) become_durable(report_.published_ns);
    callbacks.swap(callbacks_);
    changed_.notify_all();
  }
  for (auto& callback : callbacks) callback();
}

void SnapshotCore::update(const std::function<void(SnapshotReport&)>& change) {
  std::lock_guard lock(mutex_);
  change(report_);
}

bool SnapshotCore::is_final() const {
  return state_ == SnapshotState::published || state_ == SnapshotState::failed ||
         state_ == SnapshotState::cancelled || state_ == SnapshotState::skipped;
}

bool SnapshotCore::has_reached(Milestone milestone) const {
  if (is_final()) return true;
  switch (milestone) {
    case Milestone::staged: return is_staged_ && error_.is_ok();
    case Milestone::durable: return is_durable_;
    case Milestone::published: return false;
  }
  return false;
}

std::optional<Status> SnapshotCore::wait(Milestone milestone,
                                         std::optional<std::chrono::nanoseconds> timeout) {
  if (::getpid() != process_) return other_process_status();
  std::unique_lock lock(mutex_);
  const auto reached = [&] { return has_reached(milestone); };
  if (!timeout) {
    changed_.wait(lock, reached);
  } else if (!changed_.wait_for(lock, *timeout, reached)) {
    return std::nullopt;
  }
  // What was reached stays reached: an error after step 9b does not take durability back.
  if (milestone == Milestone::durable && is_durable_) return Status::ok();
  if (!error_.is_ok()) is_seen_.store(true);
  return error_;
}

bool SnapshotCore::wait_done(std::chrono::nanoseconds timeout) {
  if (::getpid() != process_) return true;
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return is_final(); });
}

SnapshotReport SnapshotCore::report() const {
  std::lock_guard lock(mutex_);
  SnapshotReport report = report_;
  report.state = state_;
  report.written_bytes = written_bytes_.load(std::memory_order_relaxed);
  return report;
}

bool SnapshotCore::is_done() const {
  std::lock_guard lock(mutex_);
  return is_final();
}

bool SnapshotCore::is_skipped() const {
  std::lock_guard lock(mutex_);
  return state_ == SnapshotState::skipped;
}

Status SnapshotCore::error() const {
  std::lock_guard lock(mutex_);
  return error_;
}

double SnapshotCore::progress() const {
  std::lock_guard lock(mutex_);
  if (state_ == SnapshotState::skipped) return 1;
  if (report_.total_bytes == 0) return 0;
  return static_cast<double>(written_bytes_.load()) / static_cast<double>(report_.total_bytes);
}

void SnapshotCore::when_done(std::function<void()> fn) {
  {
    std::lock_guard lock(mutex_);
    if (!is_final()) {
      callbacks_.push_back(std::move(fn));
      return;
    }
  }
  fn();
}

}  // namespace tintype
