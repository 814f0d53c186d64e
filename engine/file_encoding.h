// A compressed file on its way to the disk: its extents are encoded in any order, and lie one
// behind the other in file order.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/save_request.h"
#include "engine/slot_pool.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/element_map.h"
#include "io/archive/extent_encoder.h"
#include "io/disk/file_system.h"

namespace tintype {

struct PlacedExtent {
  SlotLease slot;  // holds the encoded bytes
  EncodedExtent encoded;
  uint64_t file_offset = 0;
};

// Thread-safe.
class FileEncoding {
 public:
  FileEncoding(const TargetForm& form, ElementMap elements);

  const TargetForm& form() const { return form_; }
  const ElementMap& elements() const { return elements_; }

  // Takes an encoded extent (the position in its image) and gives what can be placed by now: it and
  // those that waited for it, or nothing.
  std::vector<PlacedExtent> put(size_t extent, SlotLease slot, const EncodedExtent& encoded);

  // Writes what stands before and behind the extents, and gives the size of the whole file.
  // REQUIRES: every extent was put and written; nothing else writes to the file.
  Result<uint64_t> write_ends(File& file) const;

 private:
  const TargetForm form_;
  const ElementMap elements_;
  const ByteVector head_;

  mutable std::mutex mutex_;
  std::map<size_t, std::pair<SlotLease, EncodedExtent>> waiting_;  // all below guarded by mutex_
  std::vector<EncodedExtent> placed_;                              // in file order
  uint64_t end_offset_;
};

}  // namespace tintype
