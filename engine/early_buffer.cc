#include "engine/early_buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "base/page_sizes.h"

namespace tintype {

EarlyBuffer::~EarlyBuffer() { unmap(); }

void EarlyBuffer::unmap() {
  const MutableBytes old = std::exchange(memory_, {});
  Device* const pinned_by = std::exchange(pinned_by_, nullptr);
  if (pinned_by != nullptr) pinned_by->unpin(old);
  if (!old.empty()) ::munmap(old.data(), old.size());
}

Result<MutableBytes> EarlyBuffer::reserve(uint64_t size_bytes, Device* device) {
  if (memory_.size() < size_bytes) TINTYPE_RETURN_IF_ERROR(map(size_bytes));
  if (device == nullptr || pinned_by_ != nullptr || is_pinning_refused_) return memory_;
  is_pinning_refused_ = !device->pin(memory_).is_ok();
  if (!is_pinning_refused_) pinned_by_ = device;
  return memory_;
}

Status EarlyBuffer::map(uint64_t size_bytes) {
  unmap();
  const uint64_t bytes = align_up(size_bytes, kPageBytes);
  void* address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return errno_status(errno, "map memory for eager storages", "");
  ::madvise(address, bytes, MADV_DONTFORK);
  memory_ = MutableBytes(static_cast<std::byte*>(address), bytes);
  return Status::ok();
}

}  // namespace tintype
