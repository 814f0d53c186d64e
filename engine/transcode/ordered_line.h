// Pieces of a stream, worked on by several threads, that enter and leave in their order.
//
// Every thread has one piece at a time, in memory of its own: so the memory is bounded, whatever
// the size of the stream, and a slow step (a disk that waits) holds back the pieces behind it only
// by its turn.
#pragma once

#include <cstdint>
#include <functional>

#include "base/status.h"

namespace tintype {

// What happens to a piece. `slot` says whose memory is used: below LineOptions::slot_count, never
// two pieces at once.
class PieceWork {
 public:
  virtual ~PieceWork() = default;

  // The next piece, in order, one call at a time. False: there is none; not called again then.
  virtual Result<bool> take(uint32_t slot) = 0;
  // Several at once, at most LineOptions::worker_count.
  virtual Status work(uint32_t slot) = 0;
  // In order, one call at a time.
  virtual Status place(uint32_t slot) = 0;
  // Several at once.
  virtual Status store(uint32_t slot) = 0;
};

struct LineOptions {
  uint32_t slot_count = 1;    // threads
  uint32_t worker_count = 1;  // of these, how many may be in work() at once
  // Asked on the calling thread several times a second; true ends the line with `interrupted`.
  std::function<bool()> is_interrupted;
};

// Runs every piece through all four steps and returns when the last has left. The first error ends
// it: no further piece is taken, and those under way are waited for, but not placed.
Status run_line(PieceWork& work, const LineOptions& options);

}  // namespace tintype
