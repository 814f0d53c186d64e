// One range of memory to copy.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tintype {

struct CopyPiece {
  const std::byte* source = nullptr;
  std::byte* target = nullptr;
  uint64_t size_bytes = 0;
  uint32_t* crc = nullptr;  // gets the CRC-32 of the piece; null: not wanted
};

}  // namespace tintype
