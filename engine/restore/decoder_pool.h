// Decoders with the memory that they read into, for whichever thread needs one.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/extent_decoder.h"

namespace tintype {

// May be used by several threads at once. Keeps as many decoders as were in use at the same time.
class DecoderPool {
 public:
  // Both outlive this.
  DecoderPool(const ByteSource& file, const FrameIndex& index)
      : file_(file), index_(index), is_sound_(index.extents.size()) {}

  // Reads and decodes an extent into `plain`, which has its plain_bytes. corruption names the file,
  // the extent and its place.
  Status decode(size_t extent, MutableBytes plain);
  // Whether it was decoded before and is what was written.
  bool is_sound(size_t extent) const { return is_sound_[extent]; }

 private:
  struct Worker {
    std::unique_ptr<ExtentDecoder> decoder;
    ByteVector memory;  // for encoded extents
  };
  std::unique_ptr<Worker> take();
  void put_back(std::unique_ptr<Worker> worker);

  const ByteSource& file_;
  const FrameIndex& index_;
  std::vector<std::atomic<bool>> is_sound_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Worker>> idle_;  // guarded by mutex_
};

}  // namespace tintype
