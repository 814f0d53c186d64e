// What the fuzz targets share. Each is one source that defines LLVMFuzzerTestOneInput: it gets any
// bytes at all, reads them as one of our readers would, and checks what the reader promises.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/check.h"
#include "base/status.h"
#include "io/archive/byte_source.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace tintype::fuzzing {

inline ByteView input_of(const uint8_t* data, size_t size) {
  return std::as_bytes(std::span(data, size));
}

inline ByteVector copy_of(ByteView bytes) { return {bytes.begin(), bytes.end()}; }

// Bad bytes are corruption or unsupported, in words; anything else would blame system or program.
inline void check_refusal(const Status& status) {
  TINTYPE_CHECK(status.code() == StatusCode::corruption ||
                status.code() == StatusCode::unsupported);
  TINTYPE_CHECK(!status.message().empty());
}

// Two readings of the same bytes.
inline void check_same(const Status& one, const Status& other) {
  TINTYPE_CHECK(one.code() == other.code());
  TINTYPE_CHECK(one.to_string() == other.to_string());
}

// Bytes in memory that the readers take for a pipe or a slow disk: no thread is started for them,
// which would cost more than all else.
class SerialSource final : public ByteSource {
 public:
  explicit SerialSource(ByteView bytes) : memory_(bytes, "input") {}

  uint64_t size_bytes() const override { return memory_.size_bytes(); }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    return memory_.read_at(target, offset);
  }
  const std::string& name() const override { return memory_.name(); }
  bool is_serial() const override { return true; }

 private:
  MemorySource memory_;
};

}  // namespace tintype::fuzzing
