// One save from the call to its final state.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"

namespace tintype {

enum class SnapshotState { staging, writing, durable, published, failed, cancelled, skipped };

std::string_view to_string(SnapshotState state);

// What a save cost and where the time went. Times in nanoseconds, sizes in bytes.
struct SnapshotReport {
  SnapshotState state = SnapshotState::staging;
  uint64_t total_bytes = 0;  // of the file images, over all files of the snapshot
  uint64_t written_bytes = 0;
  uint64_t stored_bytes = 0;   // what the files take on the disk; total_bytes in the plain form
  uint64_t coded_bytes = 0;    // of total_bytes: those that a compressed form made smaller
  uint64_t storage_bytes = 0;  // staged from the job's memory
  uint64_t file_count = 0;
  uint64_t capture_ns = 0;  // front end: walking the object
  uint64_t plan_ns = 0;
  uint64_t busy_wait_ns = 0;   // waited for max_in_flight or for an earlier save's staging
  uint64_t slot_wait_ns = 0;   // of staging: the caller's thread waited for a free slot
  uint64_t copy_ns = 0;        // copying with CRC, summed over the threads that copied
  uint64_t encode_ns = 0;      // for a compressed form, summed over the threads that encoded
  uint64_t stage_ns = 0;       // copying into slots, slot waits included
  uint64_t blocking_ns = 0;    // how long the caller was held, from the start of capture, and by
                               // before_mutation()
  uint64_t eager_bytes = 0;    // of a guarded save: copied before save_async() returned
  uint64_t lazy_bytes = 0;     // of a guarded save: copied in the background
  uint64_t guard_wait_ns = 0;  // of a guarded save: before_mutation() held the caller
  // Told before a guarded save was staged (hiding_budget.h): how much of lazy_bytes would be copied
  // before the next before_mutation(), and how long that would wait. Until rates are measured, a
  // lower bound and 0.
  uint64_t hidden_bytes_predicted = 0;
  uint64_t guard_wait_ns_predicted = 0;
  uint64_t queue_wait_ns = 0;   // staged extents waited for their write to start, summed over them
  uint64_t write_ns = 0;        // from the start of the first write to the end of the last
  uint64_t durable_ns = 0;      // from the call; 0 until then
  uint64_t published_ns = 0;    // from the call; 0 until then
  uint64_t commit_ns = 0;       // all of steps 5 to 9b
  uint64_t sync_ns = 0;         // of commit: truncate, fdatasync and link, steps 5 to 8a
  uint64_t publish_ns = 0;      // best, last, index and metrics, steps 10 and 11
  uint64_t short_writes = 0;    // resumed
  uint64_t retried_writes = 0;  // EAGAIN, EINTR
  bool is_direct_io = false;    // false when the file system refused O_DIRECT
  std::string backend;          // WriteQueue::name()
  std::string capture_path;
};

class SnapshotCore;  // engine-internal half

// Shared handle; all methods may be called from any thread. Outlives its engine.
class Snapshot {
 public:
  explicit Snapshot(std::shared_ptr<SnapshotCore> core) : core_(std::move(core)) {}

  // Each waits until the state is reached or can no longer be. nullopt timeout: for ever.
  // nullopt result: timed out, nothing changed. A failed save returns the same error from each.
  std::optional<Status> wait_staged(std::optional<std::chrono::nanoseconds> timeout);
  std::optional<Status> wait_durable(std::optional<std::chrono::nanoseconds> timeout);
  std::optional<Status> wait_published(std::optional<std::chrono::nanoseconds> timeout);

  // Final: published, failed, cancelled or skipped.
  bool is_done() const;
  // Waits for the final state; false when it timed out. An error is not delivered by this.
  bool wait_done(std::chrono::nanoseconds timeout) const;
  // True if the save will not happen; false past step 8b of any of its files, or when done.
  bool cancel();
  // Bytes written over total, 0 to 1.
  double progress() const;
  SnapshotReport report() const;
  bool is_skipped() const;
  // Of the first file, absolute.
  const std::string& path() const;
  // The error of a failed save (ok otherwise), without waiting.
  Status error() const;
  // Marks the error as delivered to somebody, so that the engine will not raise it again.
  void mark_seen();
  // Runs fn once in the final state: at once if it is done, else on an engine thread. fn must be
  // short and must not call back into the engine.
  void when_done(std::function<void()> fn);

 private:
  friend class Engine;
  std::shared_ptr<SnapshotCore> core_;
};

}  // namespace tintype
