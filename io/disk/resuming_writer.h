// Whole writes over a WriteQueue: the one place that handles what a completion can say.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "io/disk/write_queue.h"

namespace tintype {

struct FinishedWrite {
  uint64_t token = 0;
  Status status;  // ok: every byte was written
};

struct WriterCounters {
  uint64_t short_writes = 0;
  uint64_t retried_writes = 0;
  uint64_t demotions = 0;  // files that gave up O_DIRECT
};

// Short writes are resumed at the right offset, EAGAIN and EINTR are retried a bounded number of
// times, EINVAL/EOPNOTSUPP on a direct file turns O_DIRECT off and writes the range again; a write
// of 0 bytes is an error. Thread rule: one owner thread, wake() excepted.
class ResumingWriter {
 public:
  explicit ResumingWriter(WriteQueue& queue) : queue_(queue) {}

  bool has_room() const;
  size_t in_flight() const { return writes_.size(); }
  // REQUIRES: has_room(). With is_direct, data and offset are aligned to 4096.
  void start(const WriteRequest& request, bool is_direct);
  // Appends writes that are over, waiting like WriteQueue::reap.
  Status poll(std::vector<FinishedWrite>& finished, std::chrono::milliseconds timeout);
  void wake() { queue_.wake(); }
  const WriterCounters& counters() const { return counters_; }

 private:
  struct Write {
    WriteRequest rest;
    bool is_direct = false;
    int fruitless_tries = 0;
  };
  // Decides what a result means; true when the write is over (status filled in).
  bool is_over(Write& write, int64_t result, Status& status);
  bool advance(Write& write, uint64_t written_bytes, Status& status);
  // False when O_DIRECT could not be turned off (status filled in).
  bool demote(Write& write, Status& status);
  static bool may_retry(Write& write);
  // REQUIRES: `write` lies in writes_, where it may be erased.
  void submit(const Write& write);

  WriteQueue& queue_;
  std::unordered_map<uint64_t, Write> writes_;
  std::vector<FinishedWrite> failed_at_submit_;
  std::vector<WriteCompletion> completions_;
  std::vector<const File*> demoted_;  // since nothing was in flight: each is counted once
  WriterCounters counters_;
};

}  // namespace tintype
