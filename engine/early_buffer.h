// Where a guarded save keeps what it copied before it returned, until extents take it from there.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/device/device.h"

namespace tintype {

// One mapping, kept from save to save and grown when one needs more; its pages are touched as they
// are used. Children of a fork do not inherit it. Not thread-safe: one save stages at a time.
class EarlyBuffer {
 public:
  EarlyBuffer() = default;
  ~EarlyBuffer();

  // At least so many bytes, page-aligned, valid until the next call; what they held before is lost.
  // `device` (null: none) will copy into them: it pins them if it can, and outlives this object.
  // One that refused is not asked again.
  Result<MutableBytes> reserve(uint64_t size_bytes, Device* device = nullptr);

  EarlyBuffer(const EarlyBuffer&) = delete;
  EarlyBuffer& operator=(const EarlyBuffer&) = delete;

 private:
  Status map(uint64_t size_bytes);
  void unmap();

  MutableBytes memory_;
  Device* pinned_by_ = nullptr;
  bool is_pinning_refused_ = false;
};

}  // namespace tintype
