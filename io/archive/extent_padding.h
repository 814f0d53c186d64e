// How encoded extents are filled up to whole aligned writes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/bytes.h"
#include "io/archive/compressed_form.h"

namespace tintype {

// The size of an encoded extent whose payload has this size. Padding, where there is any, has at
// least `padding_bytes_min` bytes.
constexpr uint64_t padded_extent_bytes(uint64_t plain_bytes, uint64_t payload_bytes,
                                       uint64_t padding_bytes_min) {
  const uint64_t least = std::max(payload_bytes, plain_bytes / kExpansionMax);
  const uint64_t encoded_bytes = align_up(least, kEncodedAlignmentBytes);
  const bool is_room =
      encoded_bytes == payload_bytes || encoded_bytes - payload_bytes >= padding_bytes_min;
  return is_room ? encoded_bytes : encoded_bytes + kEncodedAlignmentBytes;
}

}  // namespace tintype
