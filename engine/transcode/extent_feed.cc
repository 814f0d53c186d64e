#include "engine/transcode/extent_feed.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "io/archive/compressed_form.h"
#include "io/archive/extent_decoder.h"
#include "io/archive/file_faults.h"

namespace tintype {

Result<bool> IndexedFeed::next(IndexedExtent& extent, AlignedBuffer& encoded) {
  if (next_ == index_.extents.size()) return false;
  if (encoded.size() == 0) {
    TINTYPE_ASSIGN_OR_RETURN(encoded, AlignedBuffer::make(index_.largest_encoded_bytes()));
  }
  extent = index_.extents[next_++];
  TINTYPE_RETURN_IF_ERROR(source_.read_at(encoded.first(extent.encoded_bytes), extent.file_offset));
  return true;
}

Status PlanesStreamFeed::damaged(std::string_view what) const { return damaged_file(name_, what); }

Status PlanesStreamFeed::read_all(MutableBytes target) {
  TINTYPE_ASSIGN_OR_RETURN(const size_t count, stream_.read(target));
  return count == target.size() ? Status::ok() : damaged("is cut off");
}

Result<uint64_t> PlanesStreamFeed::read_head(ByteView begin) {
  ByteVector head(begin.begin(), begin.end());
  head.resize(kPlanesHeadBytes);
  TINTYPE_RETURN_IF_ERROR(read_all(MutableBytes(head).subspan(begin.size())));
  file_offset_ = head.size();
  TINTYPE_RETURN_IF_ERROR(check_planes_head(head, name_));
  header_.resize(kExtentHeaderBytes);
  TINTYPE_RETURN_IF_ERROR(read_all(header_));
  const std::optional<IndexedExtent> first = peek_planes_extent(header_);
  if (!first.has_value()) return uint64_t{0};
  largest_plain_bytes_ = first->plain_bytes;
  return first->plain_bytes + encoded_bound_bytes(first->plain_bytes);
}

Result<bool> PlanesStreamFeed::next(IndexedExtent& extent, AlignedBuffer& encoded) {
  const std::optional<IndexedExtent> found = peek_planes_extent(header_);
  if (!found.has_value()) {
    TINTYPE_RETURN_IF_ERROR(check_tail());
    return false;
  }
  if (found->plain_bytes > largest_plain_bytes_) {
    return Status::unsupported(
        fmt::format("'{}' has extents that grow, which a stream may not", name_),
        "name the file instead");
  }
  extent = *found;
  extent.file_offset = file_offset_;
  extent.plain_offset = plain_offset_;
  file_offset_ += extent.encoded_bytes;
  plain_offset_ += extent.plain_bytes;
  extents_.push_back({.plain_bytes = extent.plain_bytes,
                      .encoded_bytes = extent.encoded_bytes,
                      .payload_bytes = extent.payload_bytes,
                      .checksum = extent.checksum});
  if (encoded.size() < extent.encoded_bytes) {
    TINTYPE_ASSIGN_OR_RETURN(encoded, AlignedBuffer::make(extent.encoded_bytes));
  }
  const MutableBytes target = encoded.first(extent.encoded_bytes);
  std::copy(header_.begin(), header_.end(), target.begin());
  TINTYPE_RETURN_IF_ERROR(read_all(target.subspan(header_.size())));
  TINTYPE_RETURN_IF_ERROR(read_all(header_));  // the tables are longer, too
  return true;
}

// What is no extent must be the tables, to the last byte: else an extent was damaged or left out.
Status PlanesStreamFeed::check_tail() {
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector expected, file_tail(FileForm::planes, extents_));
  ByteVector tail = header_;
  tail.resize(expected.size() + 1);
  TINTYPE_ASSIGN_OR_RETURN(const size_t count,
                           stream_.read(MutableBytes(tail).subspan(header_.size())));
  tail.resize(header_.size() + count);
  if (tail != expected) {
    return damaged(fmt::format("has neither an extent nor its tables at byte {}", file_offset_));
  }
  file_offset_ += tail.size();
  return Status::ok();
}

}  // namespace tintype
