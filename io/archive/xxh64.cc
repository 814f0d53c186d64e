#include "io/archive/xxh64.h"

#include <array>
#include <bit>

namespace tintype {
namespace {

constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87u;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4Fu;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9u;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63u;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5u;

constexpr size_t kLaneCount = 4;
constexpr size_t kStripeBytes = kLaneCount * sizeof(uint64_t);

uint64_t round(uint64_t lane, uint64_t word) {
  return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

// All whole stripes of `bytes`, which is moved on to what is left.
uint64_t hash_of_stripes(ByteView& bytes) {
  std::array<uint64_t, kLaneCount> lanes = {kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};
  for (; bytes.size() >= kStripeBytes; bytes = bytes.subspan(kStripeBytes)) {
    for (size_t i = 0; i < kLaneCount; ++i) {
      lanes[i] = round(lanes[i], load_little_endian<uint64_t>(bytes, i * sizeof(uint64_t)));
    }
  }
  uint64_t hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
                  std::rotl(lanes[3], 18);
  for (const uint64_t lane : lanes) hash = (hash ^ round(0, lane)) * kPrime1 + kPrime4;
  return hash;
}

// The last bytes, fewer than a stripe has.
uint64_t with_rest(uint64_t hash, ByteView rest) {
  for (; rest.size() >= sizeof(uint64_t); rest = rest.subspan(sizeof(uint64_t))) {
    hash ^= round(0, load_little_endian<uint64_t>(rest, 0));
    hash = std::rotl(hash, 27) * kPrime1 + kPrime4;
  }
  if (rest.size() >= sizeof(uint32_t)) {
    hash ^= load_little_endian<uint32_t>(rest, 0) * kPrime1;
    hash = std::rotl(hash, 23) * kPrime2 + kPrime3;
    rest = rest.subspan(sizeof(uint32_t));
  }
  for (const std::byte byte : rest) {
    hash = std::rotl(hash ^ std::to_integer<uint64_t>(byte) * kPrime5, 11) * kPrime1;
  }
  return hash;
}

}  // namespace

uint64_t xxh64(ByteView bytes) {
  const uint64_t size_bytes = bytes.size();
  uint64_t hash = size_bytes < kStripeBytes ? kPrime5 : hash_of_stripes(bytes);
  hash = with_rest(hash + size_bytes, bytes);
  hash = (hash ^ (hash >> 33)) * kPrime2;
  hash = (hash ^ (hash >> 29)) * kPrime3;
  return hash ^ (hash >> 32);
}

}  // namespace tintype
