// The planes form of an extent: a header, the run table, the planes.
#pragma once

#include <array>
#include <vector>

#include "io/archive/compressed_form.h"
#include "io/archive/extent_encoder.h"
#include "io/archive/plane_sample.h"
#include "io/archive/split_extent.h"
#include "io/archive/zstd_context.h"

namespace tintype {

class PlanesEncoder final : public ExtentEncoder {
 public:
  PlanesEncoder();

  Result<EncodedExtent> encode(ByteView plain, std::span<const ElementRun> runs,
                               MutableBytes target, Coding coding) override;
  Result<EncodedExtent> encode_split(ByteView bytes, const SplitExtent& split, MutableBytes target,
                                     Coding coding) override;

 private:
  struct Extent;  // the one that is being encoded
  using Planes = std::array<ByteView, kPlanesPerElementMax>;

  Result<EncodedExtent> encode_runs(std::span<const SplitExtent::Run> runs, Coding coding,
                                    Extent& extent);
  Result<bool> encode_if_smaller(std::span<const SplitExtent::Run> runs, Extent& extent);
  Result<bool> encode_run(const SplitExtent::Run& arrived, Extent& extent);
  ByteView as_elements(const SplitExtent::Run& arrived, ByteView bytes);
  Planes split(const PlaneRun& run, const PlaneKinds& kinds, ByteView elements,
               const Extent& extent);
  Result<bool> encode_plane(ByteView plane, PlaneKind& kind, Extent& extent);

  ZstdCompressor huffman_;
  ZstdCompressor matches_;
  PlaneSampler sampler_;
  ByteVector scratch_;  // the planes of one run
};

}  // namespace tintype
