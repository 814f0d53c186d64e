// What a front end hands to the engine: storages, and one or more files over them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/device/device.h"
#include "engine/mutation_witness.h"
#include "io/archive/file_form.h"

namespace tintype {

inline constexpr uint32_t kHostMemory = UINT32_MAX;

// One storage as it lies in memory. The memory stays valid until SaveRequest::storage_owner is
// released (without one: until save_async returns).
struct SourceStorage {
  const std::byte* address = nullptr;  // may be null when size_bytes is 0
  uint64_t size_bytes = 0;             // what the record holds: numel * item size of its dtype
  uint32_t device = kHostMemory;       // or a position in SaveRequest::devices
  // Of the numbers in it (half a complex one's). Only the compressed forms ask, for their ratio.
  uint32_t element_bytes = 1;
  bool is_floating = false;
  // May be copied after save_async has returned: the job changes it only after before_mutation().
  // Means something only in a guarded save (one with a witness).
  bool is_lazy = false;
};

// A device that holds storages of a save, and the stream whose work so far the snapshot includes:
// the caller's current one.
struct SourceDevice {
  Device* device = nullptr;
  StreamHandle stream = 0;
  // Device memory that the save may use until it is staged; empty: none. Where all of the device's
  // storages fit in (each rounded up to 256 bytes), they are copied there on the stream and nobody
  // waits for the way to the host. The front end gives the same slab to each save of an engine.
  MutableBytes slab;
};

// The pickle of one object, and which storages it names: record data/i is storages[i] of the
// request.
struct CapturedObject {
  ByteVector pickle;
  std::vector<uint32_t> storages;
};

// In which form a file lies on the disk.
struct TargetForm {
  FileForm form = FileForm::plain;
  // Codes an extent only while the disk has enough to do without it; the others lie in the file as
  // they are. The form and its name stay the same.
  bool is_adaptive = false;
};

struct TargetFile {
  std::string path;  // absolute, or relative to the working directory at the call
  CapturedObject object;
  uint64_t alignment = 64;          // torch's storage_alignment, 1 to 32768
  bool is_symlink_followed = true;  // a symlink as target: write what it points to, or replace it
  TargetForm form = {};
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

// With a witness the save is guarded: save_async() copies what is not lazy and returns, the rest is
// copied in the background, and Engine::before_mutation() waits for it. Give none where nothing is
// lazy.
struct SaveRequest {
  std::vector<SourceStorage> storages;
  std::vector<SourceDevice> devices;     // of the storages that are not in host memory
  std::vector<TargetFile> files;         // committed in this order; at least one
  std::unique_ptr<Publisher> publisher;  // null without a checkpoint directory
  std::unique_ptr<MutationWitness> witness;
  // Keeps the storages' memory. Released by any thread as soon as nothing reads it any more, which
  // for guarded saves and devices is after save_async has returned; must not need the GIL then.
  std::shared_ptr<const void> storage_owner;
  uint64_t blocking_ns_before = 0;  // capture time already spent by the front end, for the report
  std::string capture_path;         // "native" or "pickler: the first type that forced it"

  bool is_any_compressed() const {
    return std::any_of(files.begin(), files.end(),
                       [](const TargetFile& file) { return file.form.form != FileForm::plain; });
  }
};

}  // namespace tintype
