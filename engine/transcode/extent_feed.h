// Where the encoded extents of a compressed file come from.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/transcode/aligned_buffer.h"
#include "io/archive/byte_source.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/extent_encoder.h"
#include "io/disk/byte_stream.h"

namespace tintype {

class ExtentFeed {
 public:
  virtual ~ExtentFeed() = default;

  // Reads the next extent, in order, one call at a time; false behind the last. `encoded` is made
  // larger where need be.
  virtual Result<bool> next(IndexedExtent& extent, AlignedBuffer& encoded) = 0;
};

// By the tables of a file. Both outlive this.
class IndexedFeed final : public ExtentFeed {
 public:
  IndexedFeed(const ByteSource& source, const FrameIndex& index) : source_(source), index_(index) {}

  Result<bool> next(IndexedExtent& extent, AlignedBuffer& encoded) override;

 private:
  const ByteSource& source_;
  const FrameIndex& index_;
  size_t next_ = 0;
};

// A stream in the planes form: each extent tells its own size. At the end the tables have to be
// those of the extents that came.
class PlanesStreamFeed final : public ExtentFeed {
 public:
  PlanesStreamFeed(InputStream& stream, std::string name)
      : stream_(stream), name_(std::move(name)) {}

  // `begin`: what was read of the stream to find out its form. Returns the size of the first
  // extent, encoded and plain: no later one may be larger, so that memory can be counted out.
  Result<uint64_t> read_head(ByteView begin);
  Result<bool> next(IndexedExtent& extent, AlignedBuffer& encoded) override;
  // Of the stream, once `next` has returned false.
  uint64_t size_bytes() const { return file_offset_; }

 private:
  Status damaged(std::string_view what) const;
  Status read_all(MutableBytes target);
  Status check_tail();

  InputStream& stream_;
  const std::string name_;
  uint64_t file_offset_ = 0;  // of the extent that comes next; behind the tables the end
  uint64_t plain_offset_ = 0;
  ByteVector header_;  // of it, or the first bytes of the tables
  uint64_t largest_plain_bytes_ = 0;
  std::vector<EncodedExtent> extents_;
};

}  // namespace tintype
