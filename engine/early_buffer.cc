#include "engine/early_buffer.h"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "base/page_sizes.h"

namespace tintype {

EarlyBuffer::~EarlyBuffer() { unmap(); }

void EarlyBuffer::unmap() {
  const MutableBytes old = std::exchange(memory_, {});
  if (!old.empty()) ::munmap(old.data(), old.size());
}

Result<MutableBytes> EarlyBuffer::reserve(uint64_t size_bytes) {
  if (memory_.size() >= size_bytes) return memory_;
  unmap();
  const uint64_t bytes = align_up(size_bytes, kPageBytes);
  void* address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return errno_status(errno, "map memory for eager storages", "");
  ::madvise(address, bytes, MADV_DONTFORK);
  memory_ = MutableBytes(static_cast<std::byte*>(address), bytes);
  return memory_;
}

}  // namespace tintype
