#include "io/archive/zip_layout.h"

#include <fmt/format.h>

#include "io/archive/zip_format.h"

namespace tintype {
namespace {

constexpr uint64_t kPaddingHeaderBytes = 4;  // 'F' 'B' and a 16-bit length
constexpr uint64_t kMaxAlignment = 32768;    // the padding's length field is 16 bits

uint64_t full_name_bytes(const ZipRecord& record) {
  return kArchiveRoot.size() + 1 + record.name.size();
}

bool has_zip64(const ZipRecord& record) {
  return record.size_bytes >= zip::kSaturated32 || record.header_offset >= zip::kSaturated32;
}

// The local zip64 extra: sizes and offset, each only where it overflows.
uint64_t zip64_extra_bytes(const ZipRecord& record) {
  if (!has_zip64(record)) return 0;
  return 4 + (record.size_bytes >= zip::kSaturated32 ? 16 : 0) +
         (record.header_offset >= zip::kSaturated32 ? 8 : 0);
}

uint16_t flags_of(const ZipRecord& record) {
  return record.size_bytes == 0 ? zip::kFlagUtf8 : (zip::kFlagUtf8 | zip::kFlagDescriptor);
}

void append_name(const ZipRecord& record, ByteVector& target) {
  append_text(target, kArchiveRoot);
  append_text(target, "/");
  append_text(target, record.name);
}

// `local_form`: torch leaves the compressed size 0 in the local copy of this extra.
void append_zip64_extra(const ZipRecord& record, bool local_form, ByteVector& target) {
  append_little_endian<uint16_t>(target, 0x0001);
  append_little_endian(target, static_cast<uint16_t>(zip64_extra_bytes(record) - 4));
  if (record.size_bytes >= zip::kSaturated32) {
    append_little_endian(target, record.size_bytes);
    append_little_endian<uint64_t>(target, local_form ? 0 : record.size_bytes);
  }
  if (record.header_offset >= zip::kSaturated32) append_little_endian(target, record.header_offset);
}

uint32_t saturate(uint64_t value) {
  return static_cast<uint32_t>(value >= zip::kSaturated32 ? zip::kSaturated32 : value);
}

void append_directory_entry(const ZipRecord& record, uint32_t crc, ByteVector& target) {
  append_text(target, "PK\x01\x02");
  append_little_endian<uint32_t>(target, 0);  // made by, needed
  append_little_endian(target, flags_of(record));
  append_little_endian<uint16_t>(target, 0);  // stored
  append_little_endian<uint32_t>(target, 0);  // time and date
  append_little_endian(target, crc);
  append_little_endian(target, saturate(record.size_bytes));
  append_little_endian(target, saturate(record.size_bytes));
  append_little_endian(target, static_cast<uint16_t>(full_name_bytes(record)));
  append_little_endian(target, static_cast<uint16_t>(zip64_extra_bytes(record)));
  append_little_endian<uint16_t>(target, 0);  // comment
  append_little_endian<uint16_t>(target, 0);  // disk
  append_little_endian<uint16_t>(target, 0);  // internal attributes
  append_little_endian<uint32_t>(target, 0);  // external attributes
  append_little_endian(target, saturate(record.header_offset));
  append_name(record, target);
  if (has_zip64(record)) append_zip64_extra(record, false, target);
}

constexpr uint64_t kZip64EndBytes = 56;
constexpr uint64_t kZip64LocatorBytes = 20;
constexpr uint64_t kEndBytes = 22;

// torch always writes the zip64 end record and its locator, however small the archive.
void append_end_records(const ZipLayout& layout, uint64_t directory_bytes, ByteVector& target) {
  const uint64_t count = layout.records.size();
  append_text(target, "PK\x06\x06");
  append_little_endian<uint64_t>(target, kZip64EndBytes - 12);
  append_little_endian<uint16_t>(target, 0x031E);  // made by
  append_little_endian<uint16_t>(target, 45);      // needed
  append_little_endian<uint64_t>(target, 0);       // this disk, directory's disk
  append_little_endian(target, count);
  append_little_endian(target, count);
  append_little_endian(target, directory_bytes);
  append_little_endian(target, layout.directory_offset);

  append_text(target, "PK\x06\x07");
  append_little_endian<uint32_t>(target, 0);
  append_little_endian(target, layout.directory_offset + directory_bytes);
  append_little_endian<uint32_t>(target, 1);  // disks

  const auto short_count = static_cast<uint16_t>(count > 0xFFFF ? 0xFFFF : count);
  append_text(target, "PK\x05\x06");
  append_little_endian<uint32_t>(target, 0);  // this disk, directory's disk
  append_little_endian(target, short_count);
  append_little_endian(target, short_count);
  append_little_endian(target, saturate(directory_bytes));
  append_little_endian(target, saturate(layout.directory_offset));
  append_little_endian<uint16_t>(target, 0);  // comment
}

}  // namespace

Result<ZipLayout> lay_out_zip(std::vector<RecordSize> sizes, uint64_t alignment) {
  if (alignment == 0 || alignment > kMaxAlignment) {
    return Status::invalid_argument(
        fmt::format(
            "storage_alignment {} is outside 1..{}, up to which padding always fits its field",
            alignment, kMaxAlignment),
        "set torch.utils.serialization.config.save.storage_alignment");
  }
  ZipLayout layout;
  layout.alignment = alignment;
  uint64_t offset = 0;
  uint64_t directory_bytes = 0;
  for (RecordSize& size : sizes) {
    ZipRecord record{std::move(size.name), size.size_bytes, offset, 0, 0};
    const uint64_t unpadded = offset + zip::kLocalHeaderBytes + full_name_bytes(record) +
                              kPaddingHeaderBytes + zip64_extra_bytes(record);
    record.data_offset = align_up(unpadded, alignment);
    const uint64_t descriptor =
        record.size_bytes == 0
            ? 0
            : (has_zip64(record) ? zip::kWideDescriptorBytes : zip::kDescriptorBytes);
    record.end_offset = record.data_offset + record.size_bytes + descriptor;
    offset = record.end_offset;
    directory_bytes += 46 + full_name_bytes(record) + zip64_extra_bytes(record);
    layout.records.push_back(std::move(record));
  }
  layout.directory_offset = offset;
  layout.total_bytes = offset + directory_bytes + kZip64EndBytes + kZip64LocatorBytes + kEndBytes;
  return layout;
}

void append_local_header(const ZipRecord& record, ByteVector& target) {
  const uint64_t zip64 = zip64_extra_bytes(record);
  const uint64_t header_bytes = record.data_offset - record.header_offset;
  const uint64_t extra = header_bytes - zip::kLocalHeaderBytes - full_name_bytes(record);
  append_text(target, "PK\x03\x04");
  append_little_endian<uint16_t>(target, 0);  // needed
  append_little_endian(target, flags_of(record));
  append_little_endian<uint16_t>(target, 0);  // stored
  append_little_endian<uint32_t>(target, 0);  // time and date
  append_little_endian<uint32_t>(target, 0);  // crc: in the descriptor
  append_little_endian<uint64_t>(target, 0);  // sizes: in the descriptor
  append_little_endian(target, static_cast<uint16_t>(full_name_bytes(record)));
  append_little_endian(target, static_cast<uint16_t>(extra));
  append_name(record, target);
  if (zip64 != 0) append_zip64_extra(record, true, target);
  const uint64_t padding = extra - zip64 - kPaddingHeaderBytes;
  append_text(target, "FB");
  append_little_endian(target, static_cast<uint16_t>(padding));
  target.insert(target.end(), padding, std::byte{'Z'});
}

void append_descriptor(const ZipRecord& record, uint32_t crc, ByteVector& target) {
  if (record.size_bytes == 0) return;
  append_text(target, "PK\x07\x08");
  append_little_endian(target, crc);
  if (record.descriptor_bytes() == zip::kDescriptorBytes) {
    append_little_endian(target, static_cast<uint32_t>(record.size_bytes));
    append_little_endian(target, static_cast<uint32_t>(record.size_bytes));
  } else {
    append_little_endian(target, record.size_bytes);
    append_little_endian(target, record.size_bytes);
  }
}

void append_directory(const ZipLayout& layout, std::span<const uint32_t> crcs, ByteVector& target) {
  TINTYPE_CHECK(crcs.size() == layout.records.size());
  const size_t start = target.size();
  for (size_t i = 0; i < crcs.size(); ++i) {
    append_directory_entry(layout.records[i], crcs[i], target);
  }
  append_end_records(layout, target.size() - start, target);
}

}  // namespace tintype
