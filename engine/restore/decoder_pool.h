// Decoders with the memory that they read into, for whichever thread needs one.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/extent_decoder.h"

namespace tintype {

// May be used by several threads at once. Keeps as many decoders as were in use at the same time,
// at most `decoder_max`: further threads wait for one.
class DecoderPool {
 public:
  // Both outlive this. REQUIRES: decoder_max > 0.
  DecoderPool(const ByteSource& file, const FrameIndex& index, uint32_t decoder_max)
      : file_(file), index_(index), decoder_max_(decoder_max), is_sound_(index.extents.size()) {
    idle_.reserve(decoder_max);
  }

  // Reads and decodes an extent into `plain`, which has its plain_bytes. May throw bad_alloc, and
  // can be called again then. corruption names the file,
  // the extent and its place.
  Status decode(size_t extent, MutableBytes plain);
  // Whether it was decoded before and is what was written.
  bool is_sound(size_t extent) const { return is_sound_[extent]; }

 private:
  struct Worker {
    std::unique_ptr<ExtentDecoder> decoder;  // made at the first use, as the memory
    ByteVector memory;                       // for encoded extents
  };
  class Lease;
  std::unique_ptr<Worker> take();
  void put_back(std::unique_ptr<Worker> worker);

  const ByteSource& file_;
  const FrameIndex& index_;
  const uint32_t decoder_max_;
  std::vector<std::atomic<bool>> is_sound_;

  std::mutex mutex_;
  std::condition_variable has_idle_;
  std::vector<std::unique_ptr<Worker>> idle_;  // guarded by mutex_, as all below
  uint32_t made_count_ = 0;
};

}  // namespace tintype
