#include "engine/watchdog.h"

#include <algorithm>
#include <utility>

#include "base/threads.h"

namespace tintype {
namespace {

using std::chrono::milliseconds;

constexpr int64_t kTurnsPerTimeout = 16;
constexpr milliseconds kTurnMin{1};
constexpr milliseconds kTurnMax{1000};

milliseconds turn_for(milliseconds stall_timeout) {
  return std::clamp(stall_timeout / kTurnsPerTimeout, kTurnMin, kTurnMax);
}

}  // namespace

Watchdog::Watchdog(milliseconds stall_timeout, GiveUp give_up)
    : turn_(turn_for(stall_timeout)),
      turns_max_(static_cast<uint64_t>(stall_timeout / turn_)),
      give_up_(std::move(give_up)) {}

Status Watchdog::start() {
  if (turns_max_ == 0) return Status::ok();
  TINTYPE_ASSIGN_OR_RETURN(thread_, start_thread("tintype-watch", [this] { run(); }));
  return Status::ok();
}

Watchdog::~Watchdog() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void Watchdog::watch(std::shared_ptr<SnapshotCore> core) {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    saves_.push_back({.core = std::move(core)});
  }
  changed_.notify_all();
}

// Asleep while there is nothing to watch.
void Watchdog::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_stopping_ || !saves_.empty(); });
    changed_.wait_for(lock, turn_, [&] { return is_stopping_; });
    if (is_stopping_) return;
    const auto stalled = take_stalled();
    lock.unlock();
    for (const auto& core : stalled) give_up_(core);
    lock.lock();
  }
}

// REQUIRES: mutex_ held. Whoever waited behind a save that is given up gets the full time again.
std::vector<std::shared_ptr<SnapshotCore>> Watchdog::take_stalled() {
  std::vector<std::shared_ptr<SnapshotCore>> stalled;
  bool has_moved = false;  // this save or an earlier one
  std::erase_if(saves_, [&](Watched& save) {
    const uint64_t progress = save.core->progress_count();
    has_moved |= progress != std::exchange(save.progress_seen, progress) || save.core->is_done();
    if (save.core->is_done()) return true;
    save.quiet_turns = has_moved ? 0 : save.quiet_turns + 1;
    if (save.quiet_turns < turns_max_) return false;
    has_moved = true;
    stalled.push_back(save.core);
    return true;
  });
  return stalled;
}

}  // namespace tintype
