// Where the pieces go: a file, written by several threads, or a stream.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/transcode/aligned_buffer.h"
#include "io/disk/byte_stream.h"
#include "io/disk/file_system.h"

namespace tintype {

// Each piece goes through both calls. The first `size_bytes` of `piece` are written, at `offset`,
// where the piece before it ends.
class PieceOutput {
 public:
  virtual ~PieceOutput() = default;

  // In order, one call at a time.
  virtual Status append(const AlignedBuffer& piece, size_t size_bytes, uint64_t offset) = 0;
  // Several at once.
  virtual Status store(const AlignedBuffer& piece, size_t size_bytes, uint64_t offset) = 0;
};

// Past the page cache where the file system allows it, as long as every piece begins at a multiple
// of kDirectAlignmentBytes. Where a piece ends elsewhere (the last one as a rule), its last bytes
// are held back until it is known whether one more follows: filling them up to an aligned write
// would overwrite what another thread has put behind them.
class FileOutput final : public PieceOutput {
 public:
  // `file` outlives this. `reserved_bytes`: what its begin() reserved; more is, as it grows.
  FileOutput(File& file, uint64_t reserved_bytes);

  Status append(const AlignedBuffer& piece, size_t size_bytes, uint64_t offset) override;
  Status store(const AlignedBuffer& piece, size_t size_bytes, uint64_t offset) override;
  // Behind the last store(). The file may be longer than the pieces then: whoever commits it cuts
  // it at their end.
  Status finish();

 private:
  Status give_up_direct();
  Status hold_back(const AlignedBuffer& piece, size_t size_bytes, uint64_t offset);
  Status write_held_back();

  File& file_;
  uint64_t reserved_bytes_;
  std::mutex mutex_;
  std::atomic<bool> is_direct_;  // false for good once it was

  AlignedBuffer held_back_;  // a block of direct I/O; as all below: append() and finish() only
  size_t held_back_bytes_ = 0;
  uint64_t held_back_offset_ = 0;
};

class StreamOutput final : public PieceOutput {
 public:
  explicit StreamOutput(OutputStream& stream) : stream_(stream) {}

  Status append(const AlignedBuffer& piece, size_t size_bytes, uint64_t) override {
    return stream_.write(piece.first(size_bytes));
  }
  Status store(const AlignedBuffer&, size_t, uint64_t) override { return Status::ok(); }

 private:
  OutputStream& stream_;
};

}  // namespace tintype
