// What a front end hands to the engine: storages (plain memory), and one or more files over them.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace tintype {

// One storage as it lies in host memory. The memory stays valid until the snapshot is staged.
struct SourceStorage {
  const std::byte* address = nullptr;  // may be null when size_bytes is 0
  uint64_t size_bytes = 0;             // what the record holds: numel * item size of its dtype
};

// The pickle of one object, and which storages it names: record data/i is storages[i] of the
// request.
struct CapturedObject {
  ByteVector pickle;
  std::vector<uint32_t> storages;
};

struct TargetFile {
  std::string path;  // absolute, or relative to the working directory at the call
  CapturedObject object;
  uint64_t alignment = 64;          // torch's storage_alignment, 1 to 32768
  bool is_symlink_followed = true;  // a symlink as target: write what it points to, or replace it
};

// What makes a checkpoint directory point at the new files. Runs on the engine's commit thread, in
// the order of the saves, never holding the GIL. One object serves one snapshot.
class Publisher {
 public:
  virtual ~Publisher() = default;
  // Protocol steps 10 and 11, after every file of the snapshot is durable: move best and last,
  // replace the index and the metrics, one directory fsync.
  virtual Status publish() = 0;
  // Step 12: delete losers. Best effort; a failure is a warning, the snapshot stays published.
  virtual void evict() = 0;
};

struct SaveRequest {
  std::vector<SourceStorage> storages;
  std::vector<TargetFile> files;         // committed in this order; at least one
  std::unique_ptr<Publisher> publisher;  // null without a checkpoint directory
  uint64_t blocking_ns_before = 0;  // capture time already spent by the front end, for the report
  std::string capture_path;         // "native" or "pickler: the first type that forced it"
};

}  // namespace tintype
