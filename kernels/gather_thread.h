// What one thread of the gather kernel does. The host runs it in loops: tests/support/host_twins.h.
#pragma once

#include "kernels/device_access.h"
#include "kernels/piece_table.h"
#include "kernels/split_thread.h"

namespace tintype {

inline constexpr uint32_t kGatherThreads = 256;  // of one block, which copies one chunk at a time

// Loads of several lanes are on their way before the first is stored.
template <typename Lane>
TINTYPE_HOST_DEVICE inline void copy_lanes(std::byte* target, const std::byte* source,
                                           uint64_t count, uint32_t thread) {
  constexpr uint32_t kAtOnce = 4;
  constexpr uint64_t kStep = kGatherThreads;
  uint64_t lane = thread;
  for (; lane + (kAtOnce - 1) * kStep < count; lane += kAtOnce * kStep) {
    Lane loaded[kAtOnce];
    for (uint32_t i = 0; i < kAtOnce; ++i) {
      loaded[i] = load_lane<Lane>(source + (lane + i * kStep) * sizeof(Lane));
    }
    for (uint32_t i = 0; i < kAtOnce; ++i) {
      store_lane(target + (lane + i * kStep) * sizeof(Lane), loaded[i]);
    }
  }
  for (; lane < count; lane += kStep) {
    store_lane(target + lane * sizeof(Lane), load_lane<Lane>(source + lane * sizeof(Lane)));
  }
}

// REQUIRES: thread < kGatherThreads.
TINTYPE_HOST_DEVICE inline void gather_chunk(const ChunkBytes& chunk, uint32_t thread) {
  if (chunk.planes.width > 1) return split_chunk(chunk, thread, kGatherThreads);
  const gather::Lanes lanes =
      gather::split_into_lanes(reinterpret_cast<uintptr_t>(chunk.source),
                               reinterpret_cast<uintptr_t>(chunk.target), chunk.size_bytes);
  const std::byte* source = chunk.source + lanes.head_bytes;
  std::byte* target = chunk.target + lanes.head_bytes;
  const uint64_t lanes_bytes = lanes.lane_count * lanes.lane_bytes;
  if (thread < lanes.head_bytes) chunk.target[thread] = chunk.source[thread];
  if (thread < lanes.tail_bytes) target[lanes_bytes + thread] = source[lanes_bytes + thread];
  switch (lanes.lane_bytes) {
    case 16: return copy_lanes<Bytes16>(target, source, lanes.lane_count, thread);
    case 8: return copy_lanes<uint64_t>(target, source, lanes.lane_count, thread);
    case 4: return copy_lanes<uint32_t>(target, source, lanes.lane_count, thread);
    case 2: return copy_lanes<uint16_t>(target, source, lanes.lane_count, thread);
    default: return copy_lanes<uint8_t>(target, source, lanes.lane_count, thread);
  }
}

}  // namespace tintype
