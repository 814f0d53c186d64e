// Which host memory is pinned: copies to it hold nobody, and kernels reach it.
#pragma once

#include <map>
#include <mutex>

#include "base/bytes.h"
#include "base/status.h"
#include "kernels/cuda_api.h"

namespace tintype {

// The pinned memory of one CudaApi, for all of its devices. Thread-safe.
class PinnedMemory {
 public:
  explicit PinnedMemory(CudaApi& api) : api_(api) {}

  // Whole pages, all of which it also touches. May be refused, which changes nothing.
  Status pin(int device, MutableBytes memory);
  // Undoes pin(). REQUIRES: the memory is still mapped, and no copy uses it.
  void unpin(int device, MutableBytes memory);
  // All of these bytes, in one piece of memory that was pinned.
  bool contains(ByteView bytes) const;

 private:
  CudaApi& api_;
  mutable std::mutex mutex_;
  std::map<const std::byte*, uint64_t> sizes_;  // by first byte; guarded by mutex_
};

}  // namespace tintype
