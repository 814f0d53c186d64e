// Asynchronous positioned writes behind one small interface: io_uring, a pool of pwrite threads, or
// a test's fault injector. A queue moves bytes and reports raw results; resuming short writes and
// giving up on O_DIRECT is done once, above it, by ResumingWriter.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "io/disk/file_system.h"

namespace tintype {

struct WriteRequest {
  File* file = nullptr;  // outlives the request
  ByteView data;         // stays valid and unchanged until its completion was reaped
  uint64_t offset = 0;
  uint64_t token = 0;  // returned with the completion; unique among requests in flight
};

struct WriteCompletion {
  uint64_t token = 0;
  int64_t result = 0;  // bytes written, or -errno, as the kernel says it
};

// Thread rule: one owner thread calls everything but wake(), which any thread may call.
class WriteQueue {
 public:
  virtual ~WriteQueue() = default;  // REQUIRES: nothing in flight

  // How many requests may be in flight at once.
  virtual size_t depth() const = 0;
  // REQUIRES: fewer than depth() in flight. An error means this request was not taken.
  virtual Status submit(const WriteRequest& request) = 0;
  // Appends what has completed; waits for at least one completion, a wake() or the timeout.
  virtual Status reap(std::vector<WriteCompletion>& completions,
                      std::chrono::milliseconds timeout) = 0;
  // Makes a reap() that waits, or the next one, return early.
  virtual void wake() = 0;
  // Tells the kernel about memory that writes will come from; an optimisation that may be refused,
  // which is reported by a non-ok status and changes nothing else. Replaces the earlier set.
  virtual Status register_buffers(std::span<const MutableBytes> buffers) = 0;
  // "io_uring+registered", "io_uring", "pwrite": what reports show.
  virtual std::string name() const = 0;
};

}  // namespace tintype
