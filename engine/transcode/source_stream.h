// A file as a stream: for work that needs nothing but the next bytes.
#pragma once

#include <algorithm>
#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/disk/byte_stream.h"

namespace tintype {

// A source from front to back.
class SourceStream final : public InputStream {
 public:
  // `source` outlives this.
  explicit SourceStream(const ByteSource& source) : source_(source) {}

  Result<size_t> read(MutableBytes target) override {
    const uint64_t left = source_.size_bytes() - offset_;
    const auto count = static_cast<size_t>(std::min<uint64_t>(target.size(), left));
    TINTYPE_RETURN_IF_ERROR(source_.read_at(target.first(count), offset_));
    offset_ += count;
    return count;
  }

 private:
  const ByteSource& source_;
  uint64_t offset_ = 0;
};

}  // namespace tintype
