// The snapshot engine: one staging pool, one writer thread, one commit thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/save_request.h"
#include "engine/snapshot.h"
#include "io/disk/file_system.h"
#include "io/disk/write_queue.h"

namespace tintype {

enum class WhenBusy { wait, skip, raise };
enum class DirectIo { off, preferred, required };
enum class WriteBackend { automatic, io_uring, pwrite };

struct EngineOptions {
  uint64_t staging_bytes = 0;          // pool size; 0: sized from the largest state seen
  uint64_t extent_bytes = 8ull << 20;  // multiple of 4096
  uint32_t queue_depth = 8;            // writes in flight
  uint32_t copy_threads = 0;           // 0: hardware threads, at most 8
  uint32_t encode_threads = 0;         // for compressed forms; 0: hardware threads, at most 8
  DirectIo direct_io = DirectIo::preferred;
  WriteBackend backend = WriteBackend::automatic;
  uint32_t max_in_flight = 2;  // saves that may overlap
  WhenBusy when_busy = WhenBusy::wait;
  uint64_t byte_rate_limit = 0;  // bytes per second over all writes; 0: none
  // A save for which the disk did nothing for so long fails with ETIMEDOUT; 0: waits for ever. A
  // long fdatasync shows no progress either, so this should be far above the slowest one.
  uint64_t stall_timeout_ms = 1'800'000;
  std::string trace_path;  // where the time went, see trace.h; replaced. Empty: none

  // Seams for tests; null means the real ones.
  FileSystem* file_system = nullptr;
  std::function<Result<std::unique_ptr<WriteQueue>>()> make_write_queue;
};

struct EngineStats {
  uint64_t saves_started = 0, saves_published = 0, saves_failed = 0, saves_cancelled = 0,
           saves_skipped = 0;
  uint64_t written_bytes = 0;  // of the plain form of files, whatever their own takes on the disk
  uint64_t staging_bytes = 0;  // pool size now
  uint64_t pinned_bytes = 0;   // of these, what devices copy into without holding anybody
  uint64_t in_flight = 0;
  uint64_t saves_stalled = 0;  // given up; the kernel still holds memory or files of theirs
  std::string backend;
  std::string backend_note;  // why a faster backend is not used; empty when the best one is
  std::string encode_note;   // why planes are not coded the best way; empty when they are
};

// Asked at least every 50 ms while a call blocks; true makes the call stop (a pending Ctrl-C).
// It must not wait for this engine: the call that asks may hold its turn.
using InterruptCheck = std::function<bool()>;

// All methods are thread-safe, and none may be called with the GIL held. A forked child must not
// use an engine of its parent: every call there returns an error, and the destructor does nothing.
class Engine {
 public:
  static Result<std::unique_ptr<Engine>> create(EngineOptions options);
  // close(). Threads and memory that a hanging disk holds are left to it.
  ~Engine();

  // Returns when the caller may change its storages: when every byte was copied, or, for devices,
  // every copy was started and the streams were made to wait for it. A guarded save (one with a
  // witness) returns sooner, when everything but the lazy storages is safe: those the caller
  // changes only after before_mutation(). The snapshot may already have failed: then its waits say
  // so, and this call still returns it. Refused with ETIMEDOUT while the disk has not answered for
  // an earlier save that was given up.
  Result<std::shared_ptr<Snapshot>> save_async(SaveRequest request,
                                               const InterruptCheck& is_interrupted = {});
  // To be called before anything changes lazy storages: from an optimizer's pre-step hook, say.
  // Returns when no guarded save reads them any more, in no time where none does. For devices that
  // is when all copies have been started; then the saves' streams, and `streams` (those on which
  // the changes will be made), wait for them. How long the caller was held is in that snapshot's
  // report. A save that fails or is cancelled lets this return, and so does a fork's child, whose
  // memory nobody reads. The only error is interrupted: the save goes on, nothing may be changed
  // yet.
  Status before_mutation(const InterruptCheck& is_interrupted = {},
                         std::span<const DeviceStream> streams = {});
  // Grows the pool for a state of this size, touches and registers its memory, and pins it if
  // `device` (null: none) is where storages lie. `storage_bytes` is the sum over the storages; the
  // slots that encoders will hold come on top, where saves will be compressed. What was done when
  // the check interrupts it stays.
  Status prepare(uint64_t storage_bytes, Device* device = nullptr, bool is_compressed = false,
                 const InterruptCheck& is_interrupted = {});
  // Waits for all saves started so far; interrupted if the check says so.
  Status wait(const InterruptCheck& is_interrupted = {});
  // From now on saves fail; those that run go on. Idempotent.
  void refuse_new_saves();
  // refuse_new_saves(), then waits for what runs. The threads end with the object.
  Status close();
  EngineStats stats() const;
  // Failed snapshots whose error nobody has seen, oldest first; each is returned once. `except`
  // (may be null) is kept for later: a save does not raise its own error at its own call.
  std::vector<std::shared_ptr<Snapshot>> take_unseen_failures(const Snapshot* except = nullptr);

  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

 private:
  class Impl;
  explicit Engine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace tintype
