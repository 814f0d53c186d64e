// The zstd form of an extent: one frame, and padding in a skippable frame of its own.
#pragma once

#include "io/archive/extent_encoder.h"
#include "io/archive/zstd_context.h"

namespace tintype {

class ZstdEncoder final : public ExtentEncoder {
 public:
  explicit ZstdEncoder(int level);

  Result<EncodedExtent> encode(ByteView plain, std::span<const ElementRun> runs,
                               MutableBytes target, Coding coding) override;

 private:
  ZstdCompressor best_;
  ZstdCompressor raw_;
};

}  // namespace tintype
