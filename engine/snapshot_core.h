// The engine's half of a snapshot: its state machine and counters.
//
//   staging ─► writing ─► durable ─► published
//      └──────────┴────────► failed | cancelled        (skipped is born final)
//
// First error wins. A failed or cancelled snapshot becomes final only when no slot, queue or file
// belongs to it any more, so whoever was waiting may rely on the memory and the directory. The one
// exception is a snapshot that was given up because its disk hangs.
#pragma once

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/snapshot.h"

namespace tintype {

using Clock = std::chrono::steady_clock;

inline uint64_t ns_between(Clock::time_point start, Clock::time_point end) {
  return static_cast<uint64_t>(std::chrono::nanoseconds(end - start).count());
}

class SnapshotCore {
 public:
  SnapshotCore(std::string path, uint64_t front_end_ns);

  // --- any thread ---
  // Remembers the first error; work on the snapshot stops soon after. Not final yet.
  void fail(Status status);
  // Enters the final state at once, because nothing happened for `quiet_time`: what belongs to the
  // snapshot stays with the threads or the kernel that hold it. Like finish() otherwise.
  bool give_up(std::chrono::milliseconds quiet_time,
               const std::function<void(SnapshotState)>& account);
  // Changes whenever the disk did something for this snapshot, or staging went on.
  uint64_t progress_count() const { return progress_count_.load(std::memory_order_relaxed); }
  void note_progress() { progress_count_.fetch_add(1, std::memory_order_relaxed); }
  bool request_cancel();
  // Failed or cancelled: nobody should start more work for it.
  bool is_doomed() const { return is_doomed_.load(std::memory_order_acquire); }
  void add_written(uint64_t bytes) { written_bytes_.fetch_add(bytes, std::memory_order_relaxed); }

  // --- the pipeline ---
  void set_staged();
  // Work items (extents queued, staging itself) that still use slots or files.
  void add_work(uint64_t count);
  void finish_work(uint64_t count);
  bool has_work() const;
  // `fn` is called, without a lock held, when no work is left and when the snapshot is doomed. Set
  // before other threads know the snapshot.
  void set_observer(std::function<void()> fn) { observer_ = std::move(fn); }
  // Step 8b: false if the snapshot was cancelled or failed before; true forbids cancelling from
  // now.
  bool pass_point_of_no_return();
  // For a snapshot that is still to be published; the others are durable once they are final.
  void set_durable();
  // Enters the final state (failed or cancelled if doomed) and runs the callbacks. `account` is
  // told that state just before anybody else can see it. False if it had been given up before:
  // then nothing is done.
  bool finish(const std::function<void(SnapshotState)>& account = {});
  void finish_as_skipped();
  // Changes the report's figures under the lock.
  void update(const std::function<void(SnapshotReport&)>& change);

  // --- the handle ---
  enum class Milestone { staged, durable, published };
  std::optional<Status> wait(Milestone milestone, std::optional<std::chrono::nanoseconds> timeout);
  // Unlike wait(), leaves the error unseen.
  bool wait_done(std::chrono::nanoseconds timeout);
  SnapshotReport report() const;
  bool is_done() const;
  bool is_skipped() const;
  Status error() const;
  double progress() const;
  void mark_seen() { is_seen_.store(true); }
  bool is_seen() const { return is_seen_.load(); }
  void when_done(std::function<void()> fn);
  const std::string& path() const { return path_; }
  Clock::time_point started() const { return started_; }

 private:
  bool is_final() const;                        // REQUIRES: mutex_ held
  bool has_reached(Milestone milestone) const;  // REQUIRES: mutex_ held
  void become_durable(uint64_t durable_ns);     // REQUIRES: mutex_ held
  SnapshotState end();                          // REQUIRES: mutex_ held; the state to finish as
  Status stalled_status(std::chrono::milliseconds quiet_time) const;  // REQUIRES: mutex_ held
  void finish_as(SnapshotState state);
  void tell_observer() const {
    if (observer_) observer_();
  }

  const std::string path_;
  const Clock::time_point started_;
  const pid_t process_ = ::getpid();
  std::function<void()> observer_;
  std::atomic<bool> is_doomed_{false};
  std::atomic<bool> is_seen_{false};
  std::atomic<uint64_t> written_bytes_{0};
  std::atomic<uint64_t> progress_count_{0};

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  SnapshotState state_ = SnapshotState::staging;  // all below guarded by mutex_
  bool is_staged_ = false;
  bool is_durable_ = false;
  bool is_committed_ = false;  // past 8b
  bool is_cancelled_ = false;
  bool is_ended_ = false;  // by finish() or give_up(), whichever comes first
  uint64_t work_ = 0;
  Status error_;
  SnapshotReport report_;
  std::vector<std::function<void()>> callbacks_;
};

}  // namespace tintype
