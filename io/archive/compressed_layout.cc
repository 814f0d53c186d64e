#include "io/archive/compressed_layout.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "io/archive/compressed_form.h"
#include "io/archive/crc32.h"
#include "io/archive/file_faults.h"

namespace tintype {
namespace {

constexpr uint64_t kForeignFrameBytes = uint64_t{1} << 20;  // that frames may have beyond ours

void append_seek_entry(ByteVector& table, uint64_t frame_bytes, uint64_t plain_bytes,
                       uint32_t checksum) {
  append_little_endian(table, static_cast<uint32_t>(frame_bytes));
  append_little_endian(table, static_cast<uint32_t>(plain_bytes));
  append_little_endian(table, checksum);
}

ByteVector seek_table(std::span<const EncodedExtent> extents) {
  ByteVector table(kFrameHeaderBytes);
  table.reserve(kFrameHeaderBytes + 2 * extents.size() * kSeekEntryBytes + kSeekFooterBytes);
  uint32_t frame_count = 0;
  for (const EncodedExtent& extent : extents) {
    append_seek_entry(table, extent.payload_bytes, extent.plain_bytes, extent.checksum);
    ++frame_count;
    if (extent.encoded_bytes == extent.payload_bytes) continue;
    append_seek_entry(table, extent.encoded_bytes - extent.payload_bytes, 0, kChecksumOfNothing);
    ++frame_count;
  }
  append_little_endian(table, frame_count);
  table.push_back(kSeekChecksumFlag);
  append_little_endian(table, kSeekFooterMagic);
  store_little_endian(table, 0, kSeekTableMagic);
  store_little_endian(table, 4, static_cast<uint32_t>(table.size() - kFrameHeaderBytes));
  return table;
}

ByteVector planes_table(std::span<const EncodedExtent> extents) {
  ByteVector table;
  table.reserve(extents.size() * kPlanesEntryBytes + kPlanesFooterBytes);
  uint64_t plain_bytes = 0;
  uint64_t table_offset = kPlanesHeadBytes;
  for (const EncodedExtent& extent : extents) {
    append_little_endian(table, static_cast<uint32_t>(extent.plain_bytes));
    append_little_endian(table, static_cast<uint32_t>(extent.encoded_bytes));
    append_little_endian(table, extent.checksum);
    plain_bytes += extent.plain_bytes;
    table_offset += extent.encoded_bytes;
  }
  const uint32_t table_crc = crc32(0, table);
  const size_t footer = table.size();
  append_little_endian(table, plain_bytes);
  append_little_endian(table, uint64_t{extents.size()});
  append_little_endian(table, table_offset);
  append_little_endian(table, table_crc);
  append_little_endian(table, crc32(0, ByteView(table).subspan(footer)));
  append_text(table, kPlanesEndMagic);
  return table;
}

}  // namespace

Status check_extent_count(uint64_t extent_count) {
  if (extent_count <= kExtentCountMax) return Status::ok();
  return Status::unsupported(
      fmt::format(
          "a compressed form would cut this into {} extents, and no reader takes more than {}",
          extent_count, kExtentCountMax),
      "raise extent_bytes");
}

ByteVector file_head(FileForm form) {
  if (form != FileForm::planes) return {};
  ByteVector head;
  append_text(head, kPlanesMagic);
  append_little_endian(head, kPlanesVersion);
  head.resize(kPlanesHeadBytes - sizeof(uint32_t));
  append_little_endian(head, crc32(0, head));
  return head;
}

Status check_planes_head(ByteView head, std::string_view name) {
  const ByteView checked = head.first(kPlanesHeadBytes - sizeof(uint32_t));
  if (crc32(0, checked) != load_little_endian<uint32_t>(head, checked.size())) {
    return damaged_file(name, "has a damaged head: the CRC-32 of its first 4096 bytes is another");
  }
  const auto version = load_little_endian<uint32_t>(head, kPlanesMagic.size());
  if (version != kPlanesVersion) return newer_planes_form(name, version);
  if (!std::ranges::equal(head, file_head(FileForm::planes))) {
    return damaged_file(name, "has a damaged head: its padding is not of zeros");
  }
  return Status::ok();
}

Result<ByteVector> file_tail(FileForm form, std::span<const EncodedExtent> extents) {
  TINTYPE_RETURN_IF_ERROR(check_extent_count(extents.size()));
  for (const EncodedExtent& extent : extents) {
    TINTYPE_CHECK(extent.plain_bytes > 0 && extent.plain_bytes <= kPlainExtentBytesMax);
    TINTYPE_CHECK(extent.encoded_bytes % kEncodedAlignmentBytes == 0);
  }
  switch (form) {
    case FileForm::plain: return ByteVector();
    case FileForm::zstd: return seek_table(extents);
    case FileForm::planes: return planes_table(extents);
  }
  return ByteVector();
}

uint64_t encoded_limit_bytes(uint64_t plain_bytes) {
  return encoded_bound_bytes(plain_bytes) + kForeignFrameBytes;
}

bool is_possible(const IndexedExtent& extent) {
  return extent.plain_bytes > 0 && extent.plain_bytes <= kPlainExtentBytesMax &&
         extent.encoded_bytes > 0 && extent.encoded_bytes % kEncodedAlignmentBytes == 0 &&
         extent.encoded_bytes <= encoded_bound_bytes(extent.plain_bytes) &&
         extent.encoded_bytes >= extent.plain_bytes / kExpansionMax;
}

size_t FrameIndex::extent_at(uint64_t plain_offset) const {
  TINTYPE_CHECK(plain_offset < plain_bytes);
  const auto begins_behind = [](uint64_t offset, const IndexedExtent& extent) {
    return offset < extent.plain_offset;
  };
  const auto next = std::upper_bound(extents.begin(), extents.end(), plain_offset, begins_behind);
  return static_cast<size_t>(next - extents.begin()) - 1;
}

uint64_t FrameIndex::largest_plain_bytes() const {
  uint64_t largest = 0;
  for (const IndexedExtent& extent : extents) {
    largest = std::max<uint64_t>(largest, extent.plain_bytes);
  }
  return largest;
}

uint64_t FrameIndex::largest_encoded_bytes() const {
  uint64_t largest = 0;
  for (const IndexedExtent& extent : extents) {
    largest = std::max<uint64_t>(largest, extent.encoded_bytes);
  }
  return largest;
}

uint64_t FrameIndex::encoded_bytes_of(uint64_t plain_offset, uint64_t size_bytes) const {
  double encoded_bytes = 0;
  const uint64_t end = plain_offset + size_bytes;
  while (plain_offset < end) {
    const IndexedExtent& extent = extents[extent_at(plain_offset)];
    const uint64_t part_end = std::min(end, extent.plain_offset + extent.plain_bytes);
    encoded_bytes +=
        static_cast<double>(part_end - plain_offset) * extent.encoded_bytes / extent.plain_bytes;
    plain_offset = part_end;
  }
  return static_cast<uint64_t>(encoded_bytes);
}

}  // namespace tintype
