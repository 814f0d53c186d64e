// The plain image of a compressed file, readable at any place: only the extents that a read touches
// are decoded, and of what is read front to back the next ones ahead, by background threads.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/restore/decoder_pool.h"
#include "engine/restore/extent_cache.h"
#include "engine/restore/parallel_read.h"
#include "io/archive/byte_source.h"
#include "io/archive/compressed_layout.h"

namespace tintype {

struct DamagedExtent {
  IndexedExtent extent;
  size_t index = 0;
  Status status;
};

// What a source holds in memory, by how large its extents are.
struct SourceMemory {
  uint32_t decoder_count = 1;  // each with an encoded extent
  uint32_t place_count = 1;    // for decoded extents that are kept
  uint32_t ahead_count = 0;    // of which so many are decoded ahead
};

// At most 264 MiB for both kinds: two of each where extents are as large as they may be. No more
// than what is of use with so many processors. REQUIRES: the sizes are those of the largest extent.
SourceMemory share_memory(uint64_t plain_bytes, uint64_t encoded_bytes, uint32_t processors);

// Of no use in a forked child, which has none of its threads and locks in any state: reads fail
// there, and its end lets the memory be.
class CompressedSource final : public ByteSource {
 public:
  ~CompressedSource() override;

  // Reads the file's tables; errors as read_frame_index.
  static Result<std::unique_ptr<CompressedSource>> open(std::unique_ptr<ByteSource> file,
                                                        FileForm form, const ReadLimits& limits);

  uint64_t size_bytes() const override { return index_.plain_bytes; }
  Status read_at(MutableBytes target, uint64_t offset) const override;
  Result<uint32_t> read_with_crc(MutableBytes target, uint64_t offset) const override;
  const std::string& name() const override { return file_->name(); }
  uint64_t block_end(uint64_t offset) const override;
  void expect_only(const std::vector<ByteRange>& ranges) const override;
  bool is_serial() const override { return file_->is_serial(); }

  const FrameIndex& frames() const { return index_; }
  uint64_t file_bytes() const { return file_->size_bytes(); }
  // How many extents have been decoded so far, each counted once.
  size_t decoded_count() const;

  // Decodes every extent that no read has touched, and one more time those in which reads failed,
  // by several threads; returns those that are damaged. Other errors as they are.
  Result<std::vector<DamagedExtent>> find_damaged_extents(const ReadOptions& options) const;

 private:
  CompressedSource(std::unique_ptr<ByteSource> file, FrameIndex index, const SourceMemory& memory);
  template <typename Decoded, typename Copy>
  Status read_parts(MutableBytes target, uint64_t offset, const Decoded& decoded,
                    const Copy& copy) const;

  struct Decoding {
    Decoding(const ByteSource& file, const FrameIndex& index, const SourceMemory& memory)
        : decoders(file, index, memory.decoder_count),
          cache(decoders, index, memory.place_count, memory.ahead_count) {}
    DecoderPool decoders;
    ExtentCache cache;
  };

  const pid_t process_;
  const std::unique_ptr<ByteSource> file_;
  const FrameIndex index_;
  std::unique_ptr<Decoding> decoding_;
};

}  // namespace tintype
