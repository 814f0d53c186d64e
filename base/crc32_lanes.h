// CRC-32 by many threads, each of which sees every n-th lane of 16 bytes.
//
// CRCs are linear: the register after a message is the sum (exclusive or) of what each word of it
// contributes, multiplied by x^(bits behind it). A thread adds up its own words, moving its sum on
// by the distance from one of its lanes to the next, which is the same for every step and so four
// look-ups for four bytes. What lies behind its last lane is made up for at the end.
#pragma once

#include <cstdint>

#include "base/crc32_combine.h"
#include "base/host_device.h"

namespace tintype::crc32_lanes {

inline constexpr uint32_t kThreads = 256;  // of one chunk; lane i is thread (i % kThreads)'s
inline constexpr uint32_t kLaneBytes = 16;
inline constexpr uint32_t kWords = 4;  // of 4 bytes, in a lane

struct Tables {
  uint32_t step[4][256];      // a word's byte, moved on by kThreads lanes
  uint32_t byte[256];         // a byte, moved on by one
  uint32_t behind[kThreads];  // x to the bits of so many lanes
  uint32_t word_end[kWords];  // x to the bits from the start of a lane's word to the lane's end
};

constexpr Tables make_tables() {
  using namespace crc32_detail;
  Tables tables{};
  const uint32_t step = x_to_bytes(uint64_t{kThreads} * kLaneBytes);
  for (uint32_t value = 0; value < 256; ++value) {
    for (uint32_t i = 0; i < 4; ++i) tables.step[i][value] = multiply(value << (8 * i), step);
    tables.byte[value] = multiply(value, x_to_bytes(1));
  }
  tables.behind[0] = x_to_bytes(0);
  for (uint32_t i = 1; i < kThreads; ++i) {
    tables.behind[i] = multiply(tables.behind[i - 1], x_to_bytes(kLaneBytes));
  }
  for (uint32_t i = 0; i < kWords; ++i) tables.word_end[i] = x_to_bytes(kLaneBytes - 4 * i);
  return tables;
}

// The register moved on by one byte.
TINTYPE_HOST_DEVICE constexpr uint32_t add_byte(const Tables& tables, uint32_t crc_register,
                                                uint8_t byte) {
  return tables.byte[(crc_register ^ byte) & 0xFFu] ^ (crc_register >> 8);
}

// What the lanes of one thread add up to.
struct ThreadSum {
  uint32_t words[kWords] = {};

  TINTYPE_HOST_DEVICE constexpr void add_lane(const Tables& tables, const uint32_t* lane) {
    for (uint32_t i = 0; i < kWords; ++i) {
      const uint32_t sum = words[i];
      words[i] = tables.step[0][sum & 0xFFu] ^ tables.step[1][(sum >> 8) & 0xFFu] ^
                 tables.step[2][(sum >> 16) & 0xFFu] ^ tables.step[3][sum >> 24] ^ lane[i];
    }
  }

  // With so many lanes, of other threads, behind the last that was added.
  TINTYPE_HOST_DEVICE constexpr uint32_t finish(const Tables& tables, uint64_t lanes_behind) const {
    uint32_t sum = 0;
    for (uint32_t i = 0; i < kWords; ++i) {
      sum ^= crc32_detail::multiply(words[i], tables.word_end[i]);
    }
    return crc32_detail::multiply(sum, tables.behind[lanes_behind]);
  }
};

}  // namespace tintype::crc32_lanes
