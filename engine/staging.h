// One save's staging: its storages are copied into slots in file order, by several threads.
//
// Two phases. issue() starts every copy; host copies are over when it returns, so that for host
// memory nothing is left. complete() waits for what devices still copy, and seals it. Whoever calls
// them is the engine's choice: the caller's thread, or the stager's where the caller need not wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>

#include "engine/copy_crew.h"
#include "engine/device/source_copies.h"
#include "engine/early_buffer.h"
#include "engine/encode_crew.h"
#include "engine/interrupt_poll.h"
#include "engine/save_job.h"
#include "engine/slot_pool.h"
#include "engine/split_filling.h"
#include "engine/writer.h"

namespace tintype {

// What stagings of one engine share; outlives them. One of them stages at a time.
struct StagingTools {
  SlotPool& pool;
  Writer& writer;
  EncodeCrew& encoders;
  CopyCrew& crew;
  EarlyBuffer& early_buffer;
};

class Staging {
 public:
  Staging(std::shared_ptr<SaveJob> job, const StagingTools& tools);
  // REQUIRES: complete() was called.
  ~Staging();

  SaveJob& job() const { return *job_; }

  // The instant of the snapshot, on the caller's thread, first of all: points in the streams, slabs
  // filled; for a guarded save also the probes, and the eager storages copied, as are those of the
  // host beside slabs where they are small. A failure dooms the job. The poll may cancel it.
  void begin(InterruptPoll& interrupts);
  // True while storages of the job are still to be read, those in slabs and copied early excepted.
  bool reads_job_memory() const;
  // True if the caller must not go on before issue(): nobody has promised to call
  // before_mutation().
  bool holds_caller() const;
  // Starts every copy. Returns early where the job is doomed; what was started goes on.
  void issue(InterruptPoll& interrupts);
  // Work that is given to the save's streams and to `others` from now on may change the storages.
  // Where a stream cannot be made to wait, the job fails. REQUIRES: after issue().
  void release_streams(std::span<const DeviceStream> others = {});
  // True where complete() would have to wait for a device.
  bool has_copies_in_flight() const;
  // Waits for what was started, seals it and hands it to the writer; then the verdict about tears.
  // Afterwards nothing reads the storages, and no slot is held.
  void complete();

 private:
  struct Filled {
    SlotLease slot;
    std::unique_ptr<SplitFilling> split;  // null: the extent is filled as it is
    CopiesInFlight copies;
  };

  void fail_on_error(const Status& status);
  void copy_extents(InterruptPoll* interrupts);  // null: not the caller's thread
  std::optional<SlotLease> lease(InterruptPoll* interrupts);
  bool is_finished();
  bool take_position(size_t& position);
  std::unique_ptr<SplitFilling> plan_split(size_t position, MutableBytes bytes) const;
  SplitFilling::Source split_source(const SourceStorage& storage, ByteView target) const;
  Filled fill(size_t position, SlotLease slot, SourcePieces& pieces);
  void put(size_t position, Filled filled);
  void seal_ready();  // REQUIRES: mutex_ held
  void seal(size_t position, Filled& filled);
  void compare_with_probes(size_t position, const Filled& filled);
  void hand_on(size_t position, Filled& filled);
  bool find_next(CopiesInFlight& next);
  bool wait_while_wanted(const CopiesInFlight& copies, InterruptPoll* interrupts) const;
  void read_probes(const SourcePieces& pieces);
  void judge_tears();

  const std::shared_ptr<SaveJob> job_;
  const StagingTools tools_;
  bool is_rest_early_ = false;  // what is neither lazy nor in a slab was copied by begin()
  CopiesInFlight early_copies_;
  CopiesInFlight probe_copies_;
  std::atomic<uint64_t> slot_wait_ns_ = 0;
  std::atomic<uint64_t> copy_ns_ = 0;

  mutable std::mutex mutex_;
  size_t next_position_ = 0;  // all below guarded by mutex_
  size_t next_to_seal_ = 0;
  std::map<size_t, Filled> filled_;  // waiting for their copies, or for an earlier extent
};

}  // namespace tintype
