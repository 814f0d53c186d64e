// Which bytes of which piece a thread of a kernel works on.
//
// The pieces of a batch are cut into chunks, and a block of threads works on one chunk at a time.
// A chunk has a head and a tail of single bytes, and between them lanes: as many bytes as one
// access can move because source and target are aligned to them, 16 at best. Thread t of T takes
// byte t of head and tail, and the lanes t, t + T, and so on.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace tintype::gather {

inline constexpr uint64_t kChunkBytes = 64u << 10;
inline constexpr uint32_t kLaneBytesMax = 16;

// An empty piece has none.
TINTYPE_HOST_DEVICE constexpr uint64_t chunk_count(uint64_t piece_bytes) {
  return piece_bytes / kChunkBytes + (piece_bytes % kChunkBytes != 0 ? 1 : 0);
}

// The piece that has this chunk: piece i has those from first_chunks[i] on, up to that of the next.
// REQUIRES: first_chunks[0] is 0, and there is a further one behind the last piece's, above
// `chunk`.
TINTYPE_HOST_DEVICE constexpr uint32_t piece_of(const uint64_t* first_chunks, uint32_t piece_count,
                                                uint64_t chunk) {
  uint32_t low = 0;
  for (uint32_t high = piece_count; high - low > 1;) {
    const uint32_t middle = low + (high - low) / 2;
    (first_chunks[middle] <= chunk ? low : high) = middle;
  }
  return low;
}

// A range of one piece.
struct Chunk {
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
};

// REQUIRES: index < chunk_count(piece_bytes).
TINTYPE_HOST_DEVICE constexpr Chunk chunk_of(uint64_t piece_bytes, uint64_t index) {
  const uint64_t offset = index * kChunkBytes;
  const uint64_t rest = piece_bytes - offset;
  return {offset, rest < kChunkBytes ? rest : kChunkBytes};
}

// head_bytes, then lane_count times lane_bytes, then tail_bytes.
struct Lanes {
  uint32_t lane_bytes = 1;
  uint32_t head_bytes = 0;
  uint32_t tail_bytes = 0;
  uint64_t lane_count = 0;
};

// Lanes that are aligned at both addresses: by as much as the two have in common.
TINTYPE_HOST_DEVICE constexpr Lanes split_into_lanes(uint64_t source, uint64_t target,
                                                     uint64_t size_bytes) {
  const uint64_t difference = (source ^ target) | kLaneBytesMax;
  const uint64_t lane_bytes = difference & (~difference + 1);  // its lowest bit
  const uint64_t to_boundary = (~source + 1) & (lane_bytes - 1);
  const uint64_t head = to_boundary < size_bytes ? to_boundary : size_bytes;
  Lanes lanes;
  lanes.lane_bytes = static_cast<uint32_t>(lane_bytes);
  lanes.head_bytes = static_cast<uint32_t>(head);
  lanes.lane_count = (size_bytes - head) / lane_bytes;
  lanes.tail_bytes = static_cast<uint32_t>(size_bytes - head - lanes.lane_count * lane_bytes);
  return lanes;
}

// How many of the lanes a thread takes. REQUIRES: thread < thread_count.
TINTYPE_HOST_DEVICE constexpr uint64_t lanes_of_thread(uint64_t lane_count, uint32_t thread,
                                                       uint32_t thread_count) {
  return lane_count > thread ? (lane_count - thread - 1) / thread_count + 1 : 0;
}

}  // namespace tintype::gather
