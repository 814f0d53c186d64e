// What one thread of the CRC-32 kernel does. The host runs it in loops: tests/support/host_twins.h.
//
// The bytes in front of the first aligned lane and those behind the last are thread 0's.
#pragma once

#include "base/crc32_lanes.h"
#include "kernels/device_access.h"
#include "kernels/piece_table.h"

namespace tintype {

// Sources alone are read: lanes are aligned to them.
TINTYPE_HOST_DEVICE inline gather::Lanes crc32_lanes_of(const ChunkBytes& chunk) {
  const auto address = reinterpret_cast<uintptr_t>(chunk.source);
  return gather::split_into_lanes(address, address, chunk.size_bytes);
}

// The CRC register after `count` bytes, one after the other.
TINTYPE_HOST_DEVICE inline uint32_t add_bytes(const crc32_lanes::Tables& tables, uint32_t crc,
                                              const std::byte* bytes, uint32_t count) {
  for (uint32_t i = 0; i < count; ++i) {
    crc = crc32_lanes::add_byte(tables, crc, static_cast<uint8_t>(bytes[i]));
  }
  return crc;
}

// The thread's part of the register behind the last lane: the parts of all threads, by exclusive
// or, are the register. REQUIRES: thread < crc32_lanes::kThreads.
TINTYPE_HOST_DEVICE inline uint32_t crc32_part(const crc32_lanes::Tables& tables,
                                               const ChunkBytes& chunk, uint32_t thread) {
  using crc32_lanes::kThreads;
  const gather::Lanes lanes = crc32_lanes_of(chunk);
  // What comes before a word is added to it.
  uint32_t before =
      thread == 0 ? add_bytes(tables, ~uint32_t{0}, chunk.source, lanes.head_bytes) : 0;
  const uint64_t count = gather::lanes_of_thread(lanes.lane_count, thread, kThreads);
  if (count == 0) return before;
  const std::byte* const first = chunk.source + lanes.head_bytes;
  crc32_lanes::ThreadSum sum;
  for (uint64_t i = 0; i < count; ++i, before = 0) {
    Bytes16 lane = load_lane<Bytes16>(first + (thread + i * kThreads) * sizeof(Bytes16));
    lane.words[0] ^= before;
    sum.add_lane(tables, lane.words);
  }
  const uint64_t last = thread + (count - 1) * kThreads;
  return sum.finish(tables, lanes.lane_count - 1 - last);
}

// The CRC-32 of the chunk, from the register behind its last lane.
TINTYPE_HOST_DEVICE inline uint32_t crc32_end(const crc32_lanes::Tables& tables,
                                              const ChunkBytes& chunk, uint32_t crc_register) {
  const uint32_t tail_bytes = crc32_lanes_of(chunk).tail_bytes;
  return ~add_bytes(tables, crc_register, chunk.source + chunk.size_bytes - tail_bytes, tail_bytes);
}

}  // namespace tintype
