// The copies of one save out of wherever its storages lie, and their order against the job's
// streams.
#pragma once

#include <mutex>
#include <span>
#include <vector>

#include "engine/device/device.h"
#include "engine/save_request.h"

namespace tintype {

// Pieces to copy, by where their sources lie.
struct SourcePieces {
  std::vector<CopyPiece> host;
  std::vector<std::vector<CopyPiece>> devices;  // parallel to SaveRequest::devices

  void add(uint32_t device, const CopyPiece& piece);
  void clear();
};

// What is not done yet of a batch of copies. Its memory may be used, moved or given back only after
// wait().
class CopiesInFlight {
 public:
  void add(EventPointer event);
  bool is_done() const;
  // For all of them, also when one failed; the first error.
  Status wait() const;

 private:
  std::vector<EventPointer> events_;
};

class SourceCopies {
 public:
  explicit SourceCopies(std::span<const SourceDevice> devices);

  // The instant of the snapshot: copies see the streams' work so far, and nothing that is given to
  // them after release_streams(). On the thread that uses the streams, before anything else.
  Status record_start();
  // Moves a device's storages into its slab, where they fit, on its stream. Their addresses change,
  // and nothing that the job does can reach them any more. REQUIRES: after record_start().
  Status gather(std::vector<SourceStorage>& storages);
  // True for storages that lie in a slab by now.
  bool is_gathered(const SourceStorage& storage) const;

  // Thread-safe. Host pieces are copied before this returns. What was started before an error is
  // in `in_flight` all the same.
  Status copy(const SourcePieces& pieces, CopiesInFlight& in_flight);
  // Later work on the streams waits for the copies issued so far. Any thread.
  Status release_streams();
  // The same for another stream of one of the devices.
  Status release_stream(Device& device, StreamHandle stream);

 private:
  struct Place {
    SourceDevice source;
    EventPointer start;
    EventPointer last;  // guarded by mutex_; null: nothing was copied
    bool is_gathered = false;
  };

  std::vector<Place> places_;
  std::mutex mutex_;  // copies of a device are issued one at a time, so that `last` is the last
};

}  // namespace tintype
