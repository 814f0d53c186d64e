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
  // The same for elements that were split: `planes` lie one behind the other.
  PlaneKinds choose_split(ByteView planes, uint32_t width);

 private:
  // Choosing takes a twentieth of the time of coding; more elements would not choose better.
  static constexpr size_t kSampleElements = 1024;

  struct Stretches;

  PlaneKinds judge(uint32_t width, size_t count) const;

  ByteVector memory_;
};

}  // namespace tintype
