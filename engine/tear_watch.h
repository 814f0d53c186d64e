// Finds out whether the job changed lazy storages of a guarded save before they were copied.
//
// Two kinds of evidence, as neither sees everything: the front end's witness (version counters,
// pointers, sizes: blind to fused optimizers, `.data`, `.numpy()`), and probes: 64 bytes of every
// MiB, read at the call, compared with what was staged and with the source once more when all was
// copied. Each save probes other places, so that no byte is never looked at.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "engine/device/source_copies.h"
#include "engine/mutation_witness.h"
#include "engine/plan.h"
#include "engine/save_request.h"

namespace tintype {

class TearWatch {
 public:
  explicit TearWatch(std::unique_ptr<MutationWitness> witness);
  ~TearWatch();

  // At the call: where to probe each lazy storage, and the copies that read the probes. Those have
  // to be done before anything is compared.
  SourcePieces probe(const std::vector<SourceStorage>& storages, uint64_t seed);
  // The copies that read the probes once more, when all else was copied. REQUIRES: after probe().
  SourcePieces probe_again(const std::vector<SourceStorage>& storages);

  // Compares the probes that lie in an extent with what was staged. Any thread, also at once.
  void compare_staged(std::span<const Segment> segments, ByteView extent);
  // Compares the two readings of all probes.
  void compare_readings();
  // Asks the witness, once, whoever comes first; others wait for its answer. With no lock and no
  // slot held.
  void ask_witness();

  // Positions in the request's storages, rising.
  std::vector<uint32_t> torn() const;
  // Tells the front end about torn(), if there is any.
  void tell_front_end();

 private:
  struct Probe {
    uint32_t storage = 0;
    uint32_t size_bytes = 0;
    uint64_t offset = 0;  // in the storage
  };

  SourcePieces read_into(ByteVector& reading, const std::vector<SourceStorage>& storages) const;
  ByteView read(const ByteVector& reading, size_t probe) const;
  void compare_segment(const Segment& segment, ByteView staged);
  void note_torn(uint32_t storage);

  const std::unique_ptr<MutationWitness> witness_;
  std::once_flag witness_asked_;
  std::vector<Probe> probes_;           // by storage, then by offset: one in each MiB
  std::vector<uint32_t> first_probes_;  // per storage: in probes_; kNoProbe where it is not lazy
  ByteVector at_call_;                  // the probes' bytes, kProbeBytes each
  ByteVector at_end_;

  mutable std::mutex mutex_;
  std::set<uint32_t> torn_;  // guarded by mutex_
};

}  // namespace tintype
