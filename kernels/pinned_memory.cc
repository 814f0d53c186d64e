#include "kernels/pinned_memory.h"

#include <iterator>

#include "kernels/current_device.h"

namespace tintype {

Status PinnedMemory::pin(int device, MutableBytes memory) {
  const CurrentDevice current(api_, device);
  TINTYPE_RETURN_IF_ERROR(current.status());
  TINTYPE_RETURN_IF_ERROR(api_.pin(memory));
  std::lock_guard lock(mutex_);
  sizes_[memory.data()] = memory.size();
  return Status::ok();
}

void PinnedMemory::unpin(int device, MutableBytes memory) {
  {
    std::lock_guard lock(mutex_);
    if (sizes_.erase(memory.data()) == 0) return;
  }
  const CurrentDevice current(api_, device);
  if (current.status().is_ok()) api_.unpin(memory);
}

bool PinnedMemory::contains(ByteView bytes) const {
  std::lock_guard lock(mutex_);
  auto next = sizes_.upper_bound(bytes.data());
  if (next == sizes_.begin()) return false;
  const auto& [first, size_bytes] = *std::prev(next);
  return bytes.data() + bytes.size() <= first + size_bytes;
}

}  // namespace tintype
