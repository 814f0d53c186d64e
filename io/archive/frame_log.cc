#include "io/archive/frame_log.h"

#include <zstd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "io/archive/compressed_form.h"
#include "io/archive/file_faults.h"

namespace tintype {
namespace {

constexpr size_t kFrameHeaderBytesMax = 18;  // of frames with content

// A frame of 4 GiB or more fits no entry, whatever is remembered of it: no table can list it.
uint32_t saturated(uint64_t size_bytes) {
  return static_cast<uint32_t>(
      std::min<uint64_t>(size_bytes, std::numeric_limits<uint32_t>::max()));
}

// Nothing is read of an empty frame, and nothing of what a table may say of its content.
bool fits(const SeekEntry& frame, const SeekEntry& listed, bool has_checksum) {
  return frame.frame_bytes == listed.frame_bytes && frame.plain_bytes == listed.plain_bytes &&
         (!has_checksum || frame.plain_bytes == 0 || frame.checksum == listed.checksum);
}

}  // namespace

FrameLog::FrameLog(std::string name, uint64_t frame_limit)
    : name_(std::move(name)), frame_limit_(frame_limit) {}

void FrameLog::see(ByteView encoded, ByteView plain) {
  ByteView rest = encoded;
  keep(rest, kFrameHeaderBytesMax);
  if (begins_with(kSeekTableMagic)) {
    keep(rest, kFrameHeaderBytes + frame_limit_ * kSeekEntryBytes + kSeekFooterBytes);
  }
  const ByteView last = encoded.last(std::min(encoded.size(), end_.size()));
  std::copy(end_.begin() + last.size(), end_.end(), end_.begin());
  std::copy(last.begin(), last.end(), end_.end() - last.size());
  see_content(encoded);
  frame_bytes_ += encoded.size();
  plain_bytes_ += plain.size();
  if (!plain.empty() && !has_checksum()) content_hash_.add(plain);
}

// Of a frame with content it looks at a few bytes: some are never zero.
void FrameLog::see_content(ByteView encoded) {
  if (!is_zero_) return;
  const uint64_t header_bytes = kFrameHeaderBytes - std::min(kFrameHeaderBytes, frame_bytes_);
  const ByteView content = encoded.subspan(std::min<uint64_t>(encoded.size(), header_bytes));
  is_zero_ = std::all_of(content.begin(), content.end(),
                         [](std::byte byte) { return byte == std::byte{0}; });
}

void FrameLog::keep(ByteView& encoded, size_t limit_bytes) {
  const size_t spare = limit_bytes - std::min(limit_bytes, begin_.size());
  const ByteView part = encoded.first(std::min(encoded.size(), spare));
  append_bytes(begin_, part);
  encoded = encoded.subspan(part.size());
}

Status FrameLog::end_frame() {
  ends_with_table_ = is_table();
  if (ends_with_table_) {
    TINTYPE_RETURN_IF_ERROR(check_table());
    has_table_ = true;
    has_forgotten_ = false;
    frames_.clear();
    first_padding_.reset();
  } else {
    if (!first_padding_.has_value() && is_padding()) first_padding_ = frame_count_;
    frames_.push_back(entry());
    if (frames_.size() > frame_limit_) {
      frames_.pop_front();
      has_forgotten_ = true;
    }
  }
  ++frame_count_;
  offset_ += frame_bytes_;
  frame_bytes_ = plain_bytes_ = 0;
  begin_.clear();
  is_zero_ = true;
  content_hash_.restart();
  return Status::ok();
}

bool FrameLog::begins_with(uint32_t magic) const {
  return begin_.size() >= sizeof(magic) && load_little_endian<uint32_t>(begin_, 0) == magic;
}

// Skippable frames of that number that end in another way are not the seekable format's.
bool FrameLog::is_table() const {
  return begins_with(kSeekTableMagic) && frame_bytes_ >= kFrameHeaderBytes + kSeekFooterBytes &&
         load_little_endian<uint32_t>(end_, 0) == kSeekFooterMagic;
}

// As Tintype's is: zeros that fill a frame up to a multiple of the alignment. What pzstd puts in
// front of each frame is never zero; another program's frame of zeros would have to fit by chance.
bool FrameLog::is_padding() const {
  if (frames_.empty() || frames_.back().plain_bytes == 0) return false;
  const uint64_t both = frames_.back().frame_bytes + frame_bytes_;
  return begins_with(kSkippableMagic) && is_zero_ && both % kEncodedAlignmentBytes == 0;
}

bool FrameLog::has_checksum() const {
  constexpr size_t kFlagsOffset = 4;
  constexpr std::byte kChecksumFlag{0x04};
  return begin_.size() > kFlagsOffset && begins_with(kZstdMagic) &&
         (begin_[kFlagsOffset] & kChecksumFlag) != std::byte{0};
}

// A checksum at the frame's end has been compared with the content by then.
SeekEntry FrameLog::entry() const {
  return {.frame_bytes = saturated(frame_bytes_),
          .plain_bytes = saturated(plain_bytes_),
          .checksum = has_checksum() ? load_little_endian<uint32_t>(end_, 0)
                                     : static_cast<uint32_t>(content_hash_.value())};
}

Status FrameLog::check_table() const {
  if (begin_.size() < frame_bytes_) return too_long();
  const SeekFooter footer = read_seek_footer(ByteView(begin_).last(kSeekFooterBytes));
  if (!footer.is_known) return damaged_file(name_, "has an unknown seek table");
  if (kFrameHeaderBytes + footer.content_bytes() != frame_bytes_) {
    return damaged_file(name_, "has a damaged seek table: it begins elsewhere than its end says");
  }
  if (footer.entry_count > frames_.size()) return has_forgotten_ ? too_long() : misfit();
  const size_t unlisted = frames_.size() - footer.entry_count;
  for (size_t i = 0; i < footer.entry_count; ++i) {
    const size_t offset = kFrameHeaderBytes + i * footer.entry_bytes();
    const SeekEntry listed = read_seek_entry(begin_, offset, footer.has_checksums);
    if (!fits(frames_[unlisted + i], listed, footer.has_checksums)) return misfit();
  }
  const uint64_t first_listed = frame_count_ - footer.entry_count;
  return first_padding_.value_or(first_listed) < first_listed ? misfit() : Status::ok();
}

Status FrameLog::too_long() const {
  return Status::unsupported(
      fmt::format("'{}' has a seek table of more than {} frames at byte {}, over the limit where a "
                  "file is read front to back",
                  name_, frame_limit_, offset_),
      "decompress it with `zstd -d`, which does not compare it");
}

Status FrameLog::misfit() const {
  return damaged_file(name_,
                      fmt::format("has a seek table at byte {} that lists other frames than stand "
                                  "in front of it: some are missing, doubled or not its own",
                                  offset_));
}

uint64_t FrameLog::announced_bytes() const {
  const uint64_t stated = ZSTD_getFrameContentSize(begin_.data(), begin_.size());
  if (stated == ZSTD_CONTENTSIZE_UNKNOWN || stated == ZSTD_CONTENTSIZE_ERROR) return 0;
  return stated - std::min(stated, plain_bytes_);
}

}  // namespace tintype
