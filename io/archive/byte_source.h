// Bytes that can be read at any place: how the readers of this folder see a file, a buffer or a
// part of another source, without knowing which.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace tintype {

struct ByteRange {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// Thread rule: read_at may be called from several threads at once, unless is_serial().
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  virtual uint64_t size_bytes() const = 0;
  // Fills all of `target` from [offset, offset + target.size()); corruption where the source ends
  // before, io_error (with errno) where the system failed.
  virtual Status read_at(MutableBytes target, uint64_t offset) const = 0;
  // As read_at, and returns the CRC-32 of what `target` got, in one pass over memory.
  virtual Result<uint32_t> read_with_crc(MutableBytes target, uint64_t offset) const;
  // The path, or what else the source is called in error texts.
  virtual const std::string& name() const = 0;
  // The end of the block that holds this byte, for sources that make whole blocks at a time: who
  // reads much does best to cut it there. 0 where it is all the same.
  virtual uint64_t block_end(uint64_t) const { return 0; }
  // Says that from now on no other places are going to be read, so that no others are made ahead.
  // A hint: they still can be read.
  virtual void expect_only(const std::vector<ByteRange>&) const {}
  // What stands in the file before the source's first byte, of a file object at another place.
  virtual uint64_t skipped_bytes() const { return 0; }
  // True where reads by several threads gain nothing or are not allowed, and jumping back is dear.
  virtual bool is_serial() const { return false; }
};

// corruption unless [offset, offset + size_bytes) lies in the source; for read_at implementations.
Status check_range(const ByteSource& source, uint64_t offset, uint64_t size_bytes);

// Reads a range into memory of its own. REQUIRES: the caller has bounded size_bytes.
Result<ByteVector> read_range(const ByteSource& source, uint64_t offset, uint64_t size_bytes);

// A view of bytes in memory; the owner keeps them alive and unchanged.
class MemorySource final : public ByteSource {
 public:
  explicit MemorySource(ByteView bytes, std::string name = "buffer")
      : bytes_(bytes), name_(std::move(name)) {}

  uint64_t size_bytes() const override { return bytes_.size(); }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    TINTYPE_RETURN_IF_ERROR(check_range(*this, offset, target.size()));
    if (!target.empty()) std::memcpy(target.data(), bytes_.data() + offset, target.size());
    return Status::ok();
  }
  Result<uint32_t> read_with_crc(MutableBytes target, uint64_t offset) const override;
  const std::string& name() const override { return name_; }

 private:
  ByteView bytes_;
  std::string name_;
};

}  // namespace tintype
