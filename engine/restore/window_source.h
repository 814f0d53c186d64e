// Small reads that lie close together, such as a descriptor and the header behind it, as one.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string>

#include "io/archive/byte_source.h"

namespace tintype {

// Passes large reads on, and reads no further than the block of the source that was asked for. Not
// for several threads at once. `source` outlives this.
class WindowSource final : public ByteSource {
 public:
  explicit WindowSource(const ByteSource& source) : source_(source) {}

  uint64_t size_bytes() const override { return source_.size_bytes(); }
  const std::string& name() const override { return source_.name(); }
  bool is_serial() const override { return true; }

  Status read_at(MutableBytes target, uint64_t offset) const override {
    if (target.size() > bytes_.size()) return source_.read_at(target, offset);
    TINTYPE_RETURN_IF_ERROR(check_range(source_, offset, target.size()));
    if (offset < begin_ || offset + target.size() > begin_ + count_) {
      count_ = 0;  // where the read fails, nothing is known
      const uint64_t count = window_bytes(target.size(), offset);
      TINTYPE_RETURN_IF_ERROR(source_.read_at(MutableBytes(bytes_).first(count), offset));
      begin_ = offset;
      count_ = count;
    }
    if (!target.empty()) std::memcpy(target.data(), &bytes_[offset - begin_], target.size());
    return Status::ok();
  }

 private:
  uint64_t window_bytes(uint64_t wanted_bytes, uint64_t offset) const {
    const uint64_t bytes = std::min<uint64_t>(bytes_.size(), source_.size_bytes() - offset);
    const uint64_t block_end = source_.block_end(offset);
    if (block_end <= offset) return bytes;
    return std::min(bytes, std::max(wanted_bytes, block_end - offset));
  }

  const ByteSource& source_;
  mutable std::array<std::byte, 512> bytes_ = {};
  mutable uint64_t begin_ = 0;
  mutable uint64_t count_ = 0;
};

}  // namespace tintype
