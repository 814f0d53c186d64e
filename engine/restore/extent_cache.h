// A few decoded extents: those that were read last, and those that a reader who goes front to back
// will want next.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <vector>

#include "base/bytes.h"
#include "base/no_memory.h"
#include "base/status.h"
#include "base/threads.h"
#include "engine/restore/decoder_pool.h"
#include "io/archive/compressed_layout.h"

namespace tintype {

// May be used by several threads at once.
//
// A reader that finds its extent neither here nor on its way decodes it by itself. When a reader
// goes on from one extent to the next, background threads decode the ones behind. Their window lies
// from the extent before the reader's on; what lies outside of it is replaced first.
class ExtentCache {
 public:
  // `ahead_count` of the `place_count` extents are decoded ahead, by as many threads; 0: none. Both
  // outlive this.
  ExtentCache(DecoderPool& decoders, const FrameIndex& index, uint32_t place_count,
              uint32_t ahead_count);
  ~ExtentCache();

  // Calls `use` with the plain bytes of the extent; the status of its decoding where that failed.
  template <typename Use>
  Status with_extent(size_t extent, const Use& use) {
    TINTYPE_ASSIGN_OR_RETURN(const Place* place, hold(extent));
    use(ByteView(place->memory).first(index_.extents[extent].plain_bytes));
    release(*place);
    return Status::ok();
  }

  // Says which extents may be decoded ahead, by their numbers; at first all of them.
  void expect_only(std::vector<bool> is_expected);

  // Whether with_extent() would find it, decoded or on its way.
  bool has(size_t extent) const;

 private:
  enum class State : uint8_t { empty, decoding, ready };
  struct Place {
    size_t extent = 0;
    State state = State::empty;
    uint32_t holder_count = 0;
    uint64_t last_use = 0;
    ByteVector memory;  // written by who decodes, read by who holds
    Status status;      // of the decoding
  };

  Result<const Place*> hold(size_t extent);
  void release(const Place& place);
  Place* find(size_t extent);
  Place* find_replaceable(bool is_for_reader);
  bool is_in_window(size_t extent) const;
  Status decode(size_t extent, ByteVector& memory);
  void decode_into(Place& place, size_t extent, std::unique_lock<std::mutex>& lock);
  void follow(size_t extent);
  size_t next_ahead();
  void decode_ahead();

  DecoderPool& decoders_;
  const FrameIndex& index_;
  const uint32_t ahead_count_;
  const Status no_memory_ = no_memory("an extent");  // made while there is some

  mutable std::mutex mutex_;
  std::condition_variable has_changed_;  // a place is ready or free, or the window has moved
  std::vector<Place> places_;            // guarded by mutex_, but for the memory
  uint64_t use_count_ = 0;               // guarded by mutex_, as all below
  size_t reader_ = 0;                    // the extent that was read last
  size_t window_end_ = 0;                // extents below and from the reader on are wanted
  std::vector<bool> is_expected_;
  bool is_ending_ = false;
  ThreadGroup threads_;  // started when a reader first goes on
};

}  // namespace tintype
