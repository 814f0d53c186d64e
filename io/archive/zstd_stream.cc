#include "io/archive/zstd_stream.h"

#include <zstd_errors.h>

#include <algorithm>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "io/archive/compressed_form.h"
#include "io/archive/file_faults.h"
#include "io/archive/zstd_context.h"

namespace tintype {
namespace {

// Of a frame of zstd 0.8 or newer, or of a skippable one. Libraries that read older frames too take
// as large a window as those ask for, whatever the limit.
bool may_begin_frame(std::byte first) {
  return first == std::byte{kZstdMagic & 0xFFu} || (first & std::byte{0xF0}) == std::byte{0x50};
}

constexpr auto kPrefixUnknown = static_cast<size_t>(-ZSTD_error_prefix_unknown);

}  // namespace

ZstdStream::ZstdStream(std::string name, const ReadLimits& limits,
                       std::optional<uint64_t> file_bytes)
    : name_(std::move(name)),
      limits_(limits),
      file_bytes_(file_bytes),
      context_(ZSTD_createDCtx()),
      log_(name_, limits.streamed_frame_count) {
  if (context_ == nullptr) throw std::bad_alloc();
  const size_t set = ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax,
                                            static_cast<int>(limits.streamed_window_log));
  TINTYPE_CHECK(ZSTD_isError(set) == 0);
}

Result<size_t> ZstdStream::decode(ByteView& input, MutableBytes target) {
  ZSTD_inBuffer from{input.data(), input.size(), 0};
  ZSTD_outBuffer to{target.data(), target.size(), 0};
  while (to.pos < to.size) {
    const size_t from_before = from.pos;
    const size_t to_before = to.pos;
    if (!is_within_frame_ && from.pos < from.size && !may_begin_frame(input[from.pos])) {
      return fault(kPrefixUnknown, input_bytes_ + from.pos);
    }
    const size_t hint = ZSTD_decompressStream(context_.get(), &to, &from);
    if (ZSTD_isError(hint) != 0) return fault(hint, input_bytes_ + from.pos);
    if (from.pos == from_before && to.pos == to_before) break;
    log_.see(input.subspan(from_before, from.pos - from_before),
             ByteView(target).subspan(to_before, to.pos - to_before));
    is_within_frame_ = hint != 0;
    if (!is_within_frame_) TINTYPE_RETURN_IF_ERROR(log_.end_frame());
  }
  input = input.subspan(from.pos);
  input_bytes_ += from.pos;
  output_bytes_ += to.pos;
  TINTYPE_RETURN_IF_ERROR(check_expansion());
  return to.pos;
}

bool ZstdStream::may_lack_frames() const {
  return log_.frame_count() > 1 && !log_.ends_with_table();
}

Status ZstdStream::fault(size_t result, uint64_t offset) const {
  const Status status = zstd_status(result, "decompress");
  const bool is_behind_a_frame = !is_within_frame_ && offset != 0;
  if (is_behind_a_frame && ZSTD_getErrorCode(result) == ZSTD_error_prefix_unknown) {
    return damaged_file(name_, fmt::format("goes on at about byte {}, behind a whole frame, with "
                                           "what is no frame of zstd",
                                           offset));
  }
  if (status.code() == StatusCode::corruption) {
    return damaged_file(name_,
                        fmt::format("is damaged at about byte {}: {}", offset, status.message()));
  }
  return status.with_context(fmt::format("'{}' at about byte {}", name_, offset));
}

// Of a file also by what a frame says of itself: that is known before any of it is decoded. Of a
// stream nobody knows how much is still to come.
Status ZstdStream::check_expansion() const {
  const uint64_t free_bytes =
      file_bytes_.has_value() ? limits_.image_free_bytes : limits_.stream_free_bytes;
  const uint64_t packed_bytes = file_bytes_.value_or(input_bytes_);
  const uint64_t announced_bytes = file_bytes_.has_value() ? log_.announced_bytes() : 0;
  uint64_t plain_bytes = 0;
  if (__builtin_add_overflow(output_bytes_, announced_bytes, &plain_bytes)) {
    plain_bytes = UINT64_MAX;
  }
  if (plain_bytes <= free_bytes || plain_bytes / kExpansionMax <= packed_bytes) {
    return Status::ok();
  }
  return Status::unsupported(
      fmt::format(
          "'{}' expands to more than {} times its size: it may be made to fill memory or disk",
          name_, kExpansionMax),
      "if you trust it, decompress it with `zstd -d`");
}

Status ZstdStream::finish() const {
  if (is_within_frame_) {
    return damaged_file(name_,
                        "does not end with a whole frame: it is cut off, or bytes were appended");
  }
  if (log_.has_table() && log_.lacks_table()) {
    return damaged_file(name_,
                        "is cut off: of several files one behind the other, the last one's "
                        "seek table is missing");
  }
  return Status::ok();
}

}  // namespace tintype
