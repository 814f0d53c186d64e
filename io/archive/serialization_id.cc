#include "io/archive/serialization_id.h"

#include <functional>
#include <unordered_set>

#include <fmt/format.h>

namespace tintype {
namespace {

// c10/util/hash.h, hash_combine.
uint64_t hash_combine(uint64_t seed, uint64_t value) {
  return seed ^ (value + 0x9e3779b9 + (seed << 6) + (seed >> 2));
}

}  // namespace

uint64_t hash_record_names(std::span<const std::string> names) {
  std::unordered_set<std::string> set;
  for (const auto& name : names) set.insert(name);
  uint64_t hash = 0;
  for (const auto& name : set) hash = hash_combine(hash, std::hash<std::string>{}(name));
  return hash;
}

uint64_t hash_payload_head(uint64_t hash, ByteView head) {
  constexpr uint32_t kDescriptorSignature = 0x08074b50;
  if (head.size() < kPayloadHeadBytes) return hash;
  if (load_little_endian<uint32_t>(head, 0) != kDescriptorSignature) return hash;
  return hash_combine(hash, load_little_endian<uint32_t>(head, 4));
}

uint64_t hash_record_crc(uint64_t hash, uint32_t crc) { return hash_combine(hash, crc); }

std::string serialization_id(uint64_t name_hash, uint64_t crc_hash) {
  return fmt::format("{:020}{:020}", name_hash, crc_hash);
}

}  // namespace tintype
