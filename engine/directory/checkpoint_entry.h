// What stands in a checkpoint directory for one epoch.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace tintype {

using Metrics = std::vector<std::pair<std::string, double>>;  // in the user's order

// Tells one written file from every other at the price of one small read. The last bytes of an
// archive hold the CRC of its serialization id, and that id is a hash over the CRCs of all records.
struct FileDigest {
  uint64_t size_bytes = 0;
  uint32_t tail_crc32 = 0;  // of the last 4096 bytes, or of the whole file where it is shorter

  bool operator==(const FileDigest&) const = default;
};

// One epoch, both of its files together.
struct CheckpointEntry {
  std::string stem;  // "train.3"
  std::string stage;
  uint64_t epoch = 0;     // 1-based within its stage
  uint64_t sequence = 0;  // order of the saves of a run, from 1; the smaller of two is the older
  double score = 0;       // the main metric; NaN is worst in both directions
  Metrics metrics;
  FileDigest full;
  FileDigest light;
};

}  // namespace tintype
