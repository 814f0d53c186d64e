// libzstd's contexts with their lifetime, and its errors as Status.
#pragma once

#include <zstd.h>

#include <memory>
#include <string_view>

#include "base/bytes.h"
#include "base/status.h"

namespace tintype {

// The lowest level: no search for matches to speak of.
inline constexpr int kZstdFastestLevel = -(1 << 17);

// Compresses whole frames that say their size. Not for several threads at once.
class ZstdCompressor {
 public:
  enum class Literals { by_level, huffman };

  // `is_checked`: each frame ends with a checksum of its content.
  ZstdCompressor(int level, Literals literals, bool is_checked);

  // The size of the frame; 0 where it does not fit into `target`; resource_exhausted where memory
  // is refused; internal where zstd fails otherwise.
  Result<size_t> compress(ByteView source, MutableBytes target);

 private:
  struct Free {
    void operator()(ZSTD_CCtx* context) const { ZSTD_freeCCtx(context); }
  };
  std::unique_ptr<ZSTD_CCtx, Free> context_;
};

class ZstdDecompressor {
 public:
  ZstdDecompressor();

  // Fills `target`; corruption, with zstd's reason, where `source` is not one or more whole frames
  // of exactly that content.
  Status decompress(ByteView source, MutableBytes target);

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };
  std::unique_ptr<ZSTD_DCtx, Free> context_;
};

// What a result of libzstd means; ok where it is no error.
Status zstd_status(size_t result, std::string_view operation);

}  // namespace tintype
