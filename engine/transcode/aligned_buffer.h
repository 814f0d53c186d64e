// Memory that O_DIRECT may read from and write to.
#pragma once

#include <cstdlib>
#include <cstring>
#include <memory>

#include "base/bytes.h"
#include "base/check.h"
#include "base/page_sizes.h"
#include "engine/restore/huge_pages.h"

namespace tintype {

class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  // At least that many bytes, whole pages of them, all zero.
  explicit AlignedBuffer(uint64_t size_bytes)
      : size_bytes_(align_up(size_bytes, kDirectAlignmentBytes)),
        bytes_(static_cast<std::byte*>(std::aligned_alloc(kDirectAlignmentBytes, size_bytes_))) {
    TINTYPE_CHECK(bytes_ != nullptr || size_bytes_ == 0);
    advise_huge_pages({bytes_.get(), size_bytes_});  // fewer pages for the kernel to pin, too
    if (size_bytes_ != 0) std::memset(bytes_.get(), 0, size_bytes_);
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
