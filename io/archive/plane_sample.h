// How a run's planes are to be coded, judged by a sample of it.
#pragma once

#include <array>

#include "base/bytes.h"
#include "io/archive/compressed_form.h"

namespace tintype {

using PlaneKinds = std::array<PlaneKind, kPlanesPerElementMax>;  // the lowest byte's first

// Not for several threads at once.
class PlaneSampler {
 public:
  PlaneSampler() : memory_(kPlanesPerElementMax * kSampleElements) {}

  // REQUIRES: `elements` are one or more whole elements of 1 to 8 bytes.
  PlaneKinds choose(ByteView elements, uint32_t width, bool is_rotated);

 private:
  // Choosing takes a twentieth of the time of coding; more elements would not choose better.
  static constexpr size_t kSampleElements = 1024;

  size_t split_sample(ByteView elements, uint32_t width, bool is_rotated);

  ByteVector memory_;
};

}  // namespace tintype
