#include "engine/restore/stand_in_header.h"

#include "io/archive/zip_format.h"

namespace tintype {
namespace {

constexpr uint64_t kMaxExtraBytes = 0xFFFF;

uint64_t name_bytes(const ZipIndex& index, const ArchiveRecord& record) {
  return index.root.size() + 1 + record.name.size();
}

uint64_t descriptor_bytes(const ZipIndex& index, const ArchiveRecord& record) {
  if (!record.has_descriptor()) return 0;
  const bool is_wide = record.size_bytes >= zip::kSaturated32 ||
                       record.header_offset - index.start_offset >= zip::kSaturated32;
  return is_wide ? zip::kWideDescriptorBytes : zip::kDescriptorBytes;
}

}  // namespace

uint64_t assumed_payload(const ZipIndex& index, const ArchiveRecord& record) {
  const uint64_t earliest =
      record.header_offset + zip::kLocalHeaderBytes + name_bytes(index, record);
  const uint64_t behind = record.stored_bytes + descriptor_bytes(index, record);
  const uint64_t room = record.limit_offset - earliest;  // as read_zip_index has checked
  const bool is_gapless = behind <= room && room - behind <= kMaxExtraBytes;
  return is_gapless ? record.limit_offset - behind : earliest;
}

ByteVector stand_in_header(const ZipIndex& index, const ArchiveRecord& record,
                           uint64_t payload_offset) {
  const uint64_t header_bytes = payload_offset - record.header_offset;
  const uint64_t extra_bytes = header_bytes - zip::kLocalHeaderBytes - name_bytes(index, record);
  ByteVector header;
  append_text(header, "PK\x03\x04");
  append_little_endian<uint16_t>(header, 0);  // version needed
  append_little_endian(header, static_cast<uint16_t>(record.flags | zip::kFlagDescriptor));
  append_little_endian(header, static_cast<uint16_t>(record.method));
  append_little_endian<uint32_t>(header, 0);  // time and date
  append_little_endian<uint32_t>(header, 0);  // CRC
  append_little_endian<uint64_t>(header, 0);  // sizes
  append_little_endian(header, static_cast<uint16_t>(name_bytes(index, record)));
  append_little_endian(header, static_cast<uint16_t>(extra_bytes));
  append_text(header, index.root);
  append_text(header, "/");
  append_text(header, record.name);
  header.resize(header_bytes);
  return header;
}

}  // namespace tintype
