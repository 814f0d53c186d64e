// The way back from the planes form of an extent.
#pragma once

#include <vector>

#include "io/archive/compressed_form.h"
#include "io/archive/extent_decoder.h"
#include "io/archive/zstd_context.h"

namespace tintype {

class PlanesDecoder final : public ExtentDecoder {
 public:
  PlanesDecoder();

  Status decode(const IndexedExtent& extent, ByteView encoded, MutableBytes plain) override;

 private:
  class Tables;
  Status decode_run(const PlaneRun& run, Tables& tables, MutableBytes elements);

  ZstdDecompressor decompressor_;
  ByteVector scratch_;  // the planes of one run
};

}  // namespace tintype
