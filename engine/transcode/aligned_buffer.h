// Memory that O_DIRECT may read from and write to.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"
#include "base/no_memory.h"
#include "base/page_sizes.h"
#include "base/status.h"
#include "engine/restore/huge_pages.h"

namespace tintype {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // At least that many bytes, whole pages of them, all zero.
  static Result<AlignedBuffer> make(uint64_t size_bytes) {
    AlignedBuffer buffer;
    if (size_bytes == 0) return buffer;
    buffer.size_bytes_ = align_up(size_bytes, kDirectAlignmentBytes);
    buffer.bytes_.reset(
        static_cast<std::byte*>(std::aligned_alloc(kDirectAlignmentBytes, buffer.size_bytes_)));
    if (buffer.bytes_ == nullptr) return no_memory("a piece of the file");
    const MutableBytes all = buffer.first(buffer.size_bytes_);
    advise_huge_pages(all);  // fewer pages for the kernel to pin, too
    std::memset(all.data(), 0, all.size());
    return buffer;
  }

  size_t size() const { return size_bytes_; }
  MutableBytes first(size_t count) const {
    TINTYPE_CHECK(count <= size_bytes_);
    return {bytes_.get(), count};
  }

 private:
  struct Free {
    void operator()(std::byte* bytes) const { std::free(bytes); }
  };
  size_t size_bytes_ = 0;
  std::unique_ptr<std::byte, Free> bytes_;
};

}  // namespace tintype
