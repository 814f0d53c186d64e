// The content of torch's last record, `.data/serialization_id`: 40 digits, 20 of a hash over the
// record names and 20 of a hash over the record CRCs (PyTorchStreamWriter::writeSerializationId).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "base/bytes.h"

namespace tintype {

inline constexpr uint64_t kSerializationIdBytes = 40;

// The name half. `names` are in the order of writing, without the root directory. Equal to torch's
// where both use libstdc++: the hash runs over a std::unordered_set in its iteration order.
uint64_t hash_record_names(std::span<const std::string> names);

// torch's writer takes a payload that begins like a data descriptor for one and adds the "CRC" in
// it. `head` is the payload's first kPayloadHeadBytes, or all of it. Before hash_record_crc of the
// record.
inline constexpr uint64_t kPayloadHeadBytes = 8;
uint64_t hash_payload_head(uint64_t hash, ByteView head);

// Adds one record's CRC to the content half (0 at the start). Records of size 0 are left out.
uint64_t hash_record_crc(uint64_t hash, uint32_t crc);

std::string serialization_id(uint64_t name_hash, uint64_t crc_hash);

}  // namespace tintype
