// How a run's planes are to be coded, judged by a sample of it.
#pragma once

#include <array>

#include "base/bytes.h"
#include "io/archive/compressed_form.h"

namespace tintype {

struct PlaneChoice {
  bool is_rotated = false;
  std::array<PlaneKind, kPlanesPerElementMax> kinds = {};  // of the planes, the lowest byte first

  bool is_all_raw(uint32_t width) const;
};

// Not for several threads at once.
class PlaneSampler {
 public:
  PlaneSampler() : memory_(kPlanesPerElementMax * kSampleElements) {}

  // REQUIRES: `elements` are one or more whole elements of 1 to 8 bytes.
  PlaneChoice choose(ByteView elements, uint32_t width);

 private:
  // Choosing takes a twentieth of the time of coding; more elements would not choose better.
  static constexpr size_t kSampleElements = 1024;
  struct Candidate;

  Candidate judge(ByteView elements, uint32_t width, bool is_rotated);
  size_t split_sample(ByteView elements, uint32_t width, bool is_rotated);

  ByteVector memory_;
};

}  // namespace tintype
