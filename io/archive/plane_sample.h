// How a run's planes are to be coded, judged by a sample of it.
#pragma once

#include <array>

#include "base/bytes.h"
#include "io/archive/compressed_form.h"
#include "io/archive/zstd_context.h"

namespace tintype {

struct PlaneChoice {
  bool is_rotated = false;
  std::array<PlaneKind, kPlanesPerElementMax> kinds =
      {};  // of the planes, the least significant first

  bool is_all_raw(uint32_t width) const;
};

// Not for several threads at once.
class PlaneSampler {
 public:
  explicit PlaneSampler(ZstdCompressor& matches) : matches_(matches), memory_(kMemoryBytes) {}

  // REQUIRES: `elements` are one or more whole elements of 1 to 8 bytes.
  Result<PlaneChoice> choose(ByteView elements, uint32_t width);

 private:
  static constexpr size_t kSampleElements = 4096;
  static constexpr size_t kMemoryBytes = (2 * kPlanesPerElementMax + 1) * kSampleElements;
  using Planes = std::array<std::byte*, kPlanesPerElementMax>;

  size_t sample(ByteView elements, uint32_t width, bool is_rotated, const Planes& planes);
  Result<PlaneKind> choose_kind(ByteView plane, double bits);

  ZstdCompressor& matches_;  // level 1
  ByteVector memory_;
};

}  // namespace tintype
