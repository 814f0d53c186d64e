// One range of memory to copy.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/plane_index.h"

namespace tintype {

struct CopyPiece {
  const std::byte* source = nullptr;
  std::byte* target = nullptr;
  uint64_t size_bytes = 0;
  uint32_t* crc = nullptr;  // gets the CRC-32 of the piece as it was; null: not wanted
  // With a width above 1: `source` is aligned to it and has whole elements, and `target` is where
  // the lowest byte of the first goes.
  PlaneSplit planes = {};

  // From the first byte of the target to the last: between them are other pieces' too where
  // elements are sorted into planes.
  uint64_t target_bytes() const {
    return (planes.width - 1) * planes.plane_bytes + size_bytes / planes.width;
  }
};

}  // namespace tintype
