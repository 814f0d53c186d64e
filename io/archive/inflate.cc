#include "io/archive/inflate.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <isa-l/igzip_lib.h>

namespace tintype {
namespace {

constexpr size_t kBufferBytes = 128u << 10;

uint8_t* raw(MutableBytes bytes) { return reinterpret_cast<uint8_t*>(bytes.data()); }

class Inflation {
 public:
  Inflation(const ByteSource& source, uint64_t offset, uint64_t stored_bytes)
      : source_(source), offset_(offset), left_(stored_bytes) {
    isal_inflate_init(state_.get());
  }

  Status run(uint64_t size_bytes, const std::function<Status(ByteView)>& sink) {
    uint64_t expanded = 0;
    while (!is_finished()) {
      if (state_->avail_in == 0) TINTYPE_RETURN_IF_ERROR(refill());
      state_->next_out = raw(output_);
      state_->avail_out = kBufferBytes;
      if (isal_inflate(state_.get()) != ISAL_DECOMP_OK) return broken("its compressed data");
      const size_t produced = kBufferBytes - state_->avail_out;
      expanded += produced;
      if (expanded > size_bytes) return broken("its expanded size");
      if (produced != 0) TINTYPE_RETURN_IF_ERROR(sink(ByteView(output_).first(produced)));
      if (produced == 0 && state_->avail_in == 0 && left_ == 0 && !is_finished()) {
        return broken("the end of its compressed data");
      }
    }
    if (expanded != size_bytes || left_ + state_->avail_in != 0) return broken("its expanded size");
    return Status::ok();
  }

 private:
  bool is_finished() const { return state_->block_state == ISAL_BLOCK_FINISH; }

  Status refill() {
    const size_t count = std::min<uint64_t>(left_, kBufferBytes);
    TINTYPE_RETURN_IF_ERROR(source_.read_at(MutableBytes(input_).first(count), offset_));
    offset_ += count;
    left_ -= count;
    state_->next_in = raw(input_);
    state_->avail_in = static_cast<uint32_t>(count);
    return Status::ok();
  }

  static Status broken(std::string_view what) {
    return Status::corruption(fmt::format("{} is damaged", what));
  }

  const ByteSource& source_;
  uint64_t offset_;
  uint64_t left_;
  std::unique_ptr<inflate_state> state_ = std::make_unique<inflate_state>();
  ByteVector input_ = ByteVector(kBufferBytes);
  ByteVector output_ = ByteVector(kBufferBytes);
};

}  // namespace

Status inflate(const ByteSource& source, uint64_t offset, uint64_t stored_bytes,
               uint64_t size_bytes, const std::function<Status(ByteView)>& sink) {
  return Inflation(source, offset, stored_bytes).run(size_bytes, sink);
}

}  // namespace tintype
