#include "tests/support/hostile_files.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>
#include <isa-l/igzip_lib.h>

#include "base/check.h"
#include "io/archive/compressed_form.h"
#include "tests/support/small_archive.h"

namespace tintype::testing_support {
namespace {

using namespace std::string_literals;

constexpr uint32_t kSaturated32 = UINT32_MAX;

uint32_t saturated(uint64_t value) {
  return static_cast<uint32_t>(std::min<uint64_t>(value, kSaturated32));
}

void append_wide(ByteVector& extra, uint64_t value) {
  if (value >= kSaturated32) append_little_endian(extra, value);
}

// The zip64 extra with what does not fit into 32 bits; nothing where all does.
ByteVector wide_fields(const ForgedEntry& entry, uint64_t header_offset) {
  ByteVector fields;
  append_wide(fields, entry.size_bytes);
  append_wide(fields, entry.stored_bytes);
  append_wide(fields, header_offset);
  if (fields.empty()) return {};
  ByteVector extra;
  append_little_endian<uint16_t>(extra, 1);
  append_little_endian(extra, static_cast<uint16_t>(fields.size()));
  append_bytes(extra, fields);
  return extra;
}

// What stands in the local header and in the directory alike, from the flags to the extra's length.
void append_common(ByteVector& zip, const ForgedEntry& entry, size_t extra_bytes) {
  append_little_endian<uint16_t>(zip, 0x0800);  // a name of UTF-8, no descriptor
  append_little_endian(zip, entry.method);
  append_little_endian<uint32_t>(zip, 0);  // time and date
  append_little_endian(zip, entry.crc);
  append_little_endian(zip, saturated(entry.stored_bytes));
  append_little_endian(zip, saturated(entry.size_bytes));
  append_little_endian(zip, static_cast<uint16_t>(entry.name.size()));
  append_little_endian(zip, static_cast<uint16_t>(extra_bytes));
}

void append_local(ByteVector& zip, const ForgedEntry& entry) {
  const ByteVector extra = wide_fields(entry, 0);
  append_text(zip, "PK\x03\x04");
  append_little_endian<uint16_t>(zip, 0);
  append_common(zip, entry, extra.size());
  append_text(zip, entry.name);
  append_bytes(zip, extra);
  append_bytes(zip, entry.payload);
}

void append_entry(ByteVector& zip, const ForgedEntry& entry, uint64_t header_offset) {
  const ByteVector extra = wide_fields(entry, header_offset);
  append_text(zip, "PK\x01\x02");
  append_little_endian<uint32_t>(zip, 0);  // versions
  append_common(zip, entry, extra.size());
  zip.resize(zip.size() + 10);  // comment, disk, attributes
  append_little_endian(zip, saturated(header_offset));
  append_text(zip, entry.name);
  append_bytes(zip, extra);
}

void append_end(ByteVector& zip, uint16_t count, size_t directory_offset) {
  const size_t directory_bytes = zip.size() - directory_offset;
  append_text(zip, "PK\x05\x06"s + "\0\0\0\0"s);
  append_little_endian(zip, count);
  append_little_endian(zip, count);
  append_little_endian(zip, static_cast<uint32_t>(directory_bytes));
  append_little_endian(zip, static_cast<uint32_t>(directory_offset));
  append_little_endian<uint16_t>(zip, 0);
}

}  // namespace

ForgedEntry stored_entry(const std::string& name, const std::string& payload) {
  ForgedEntry entry{.name = name, .size_bytes = payload.size(), .stored_bytes = payload.size()};
  append_text(entry.payload, payload);
  return entry;
}

ByteVector forged_zip(const std::vector<ForgedEntry>& entries, uint16_t stated_count) {
  ByteVector zip;
  std::vector<uint64_t> offsets;
  for (const ForgedEntry& entry : entries) {
    offsets.push_back(entry.header_offset == UINT64_MAX ? zip.size() : entry.header_offset);
    append_local(zip, entry);
  }
  const size_t directory_offset = zip.size();
  for (size_t i = 0; i < entries.size(); ++i) append_entry(zip, entries[i], offsets[i]);
  append_end(zip, stated_count == 0 ? static_cast<uint16_t>(entries.size()) : stated_count,
             directory_offset);
  return zip;
}

ByteVector deflated_zeros(size_t size_bytes) {
  std::vector<uint8_t> zeros(size_bytes);
  ByteVector target(size_bytes / 100 + 1024);
  std::vector<uint8_t> memory(ISAL_DEF_LVL1_DEFAULT);
  const auto stream = std::make_unique<isal_zstream>();
  isal_deflate_stateless_init(stream.get());
  stream->level = 1;
  stream->level_buf = memory.data();
  stream->level_buf_size = static_cast<uint32_t>(memory.size());
  stream->end_of_stream = 1;
  stream->next_in = zeros.data();
  stream->avail_in = static_cast<uint32_t>(zeros.size());
  stream->next_out = reinterpret_cast<uint8_t*>(target.data());
  stream->avail_out = static_cast<uint32_t>(target.size());
  TINTYPE_CHECK(isal_deflate_stateless(stream.get()) == COMP_OK);
  target.resize(stream->total_out);
  return target;
}

// --- zips ---

std::vector<NamedBytes> hostile_zips() {
  const ForgedEntry sound = stored_entry("archive/data.pkl", "\x80\x02N.");
  const ForgedEntry version = stored_entry("archive/version", "3\n");
  std::vector<NamedBytes> all;
  const auto named = [&](const std::string& name) { return stored_entry(name, "x"); };
  all.push_back({"counts-65534-records", forged_zip({sound, version}, 65534)});
  all.push_back({"two-of-one-name", forged_zip({sound, version, sound})});
  all.push_back({"two-names-by-case", forged_zip({sound, named("archive/DATA.pkl")})});
  all.push_back({"leads-out", forged_zip({sound, named("archive/../../etc/passwd")})});
  all.push_back({"absolute-name", forged_zip({sound, named("/etc/passwd")})});
  all.push_back({"control-characters", forged_zip({sound, named("archive/\x1b[2J")})});
  all.push_back({"another-root", forged_zip({sound, named("other/data/0")})});
  ForgedEntry forged = version;
  forged.header_offset = 0;
  all.push_back({"overlapping", forged_zip({sound, forged})});
  forged = version;
  forged.size_bytes = forged.stored_bytes = uint64_t{1} << 62;
  all.push_back({"record-of-2-to-the-62", forged_zip({sound, forged})});
  forged = version;
  forged.header_offset = uint64_t{1} << 63;
  all.push_back({"header-at-2-to-the-63", forged_zip({sound, forged})});
  ForgedEntry bomb{.payload = deflated_zeros(4u << 20), .method = 8, .size_bytes = 4u << 20};
  bomb.stored_bytes = bomb.payload.size();
  all.push_back({"deflated-1000-to-1", forged_zip({bomb, version})});
  bomb.size_bytes = uint64_t{1} << 40;
  all.push_back({"deflated-says-a-tebibyte", forged_zip({bomb, version})});
  bomb.size_bytes = 1000;
  all.push_back({"deflated-says-less", forged_zip({bomb, version})});
  return all;
}

// --- frames and tables ---

ByteVector forged_frame(uint64_t content_bytes, uint8_t window_descriptor, size_t block_count) {
  constexpr uint32_t kBlockBytes = 128u << 10;
  constexpr uint32_t kRepeatedByte = 1u << 1;
  ByteVector frame;
  append_little_endian(frame, kZstdMagic);
  frame.push_back(std::byte{0xC0});  // content size of 8 bytes, a window, no checksum
  frame.push_back(static_cast<std::byte>(window_descriptor));
  append_little_endian(frame, content_bytes);
  for (size_t i = 0; i < block_count; ++i) {
    const uint32_t is_last = i + 1 == block_count ? 1 : 0;
    const uint32_t header = kBlockBytes << 3 | kRepeatedByte | is_last;
    for (int shift = 0; shift < 24; shift += 8) {
      frame.push_back(static_cast<std::byte>(header >> shift));
    }
    frame.push_back(std::byte{0});
  }
  return frame;
}

std::vector<NamedBytes> hostile_frames() {
  constexpr uint8_t kWindow128Mib = 17 << 3;
  constexpr uint8_t kWindowLargest = 0xFF;
  constexpr uint64_t kTebibyte = uint64_t{1} << 40;
  std::vector<NamedBytes> all;
  all.push_back({"expands-to-32-mib", forged_frame(32u << 20, kWindow128Mib, 256)});
  all.push_back({"window-of-128-mib", forged_frame(kTebibyte, kWindow128Mib, 1)});
  all.push_back({"window-of-3-tebibytes", forged_frame(kTebibyte, kWindowLargest, 1)});
  all.push_back({"content-says-2-to-the-63", forged_frame(uint64_t{1} << 63, 0x50, 1)});
  all.push_back({"content-says-one-byte", forged_frame(1, 0x50, 1)});
  return all;
}

namespace {

ByteVector forged_seek_table(uint32_t frame_bytes, uint32_t plain_bytes, uint32_t count,
                             uint32_t stated_count) {
  ByteVector table;
  append_little_endian(table, kSeekTableMagic);
  append_little_endian(table, static_cast<uint32_t>(count * kSeekEntryBytes + kSeekFooterBytes));
  for (uint32_t i = 0; i < count; ++i) {
    append_little_endian(table, frame_bytes);
    append_little_endian(table, plain_bytes);
    append_little_endian<uint32_t>(table, 0);
  }
  append_little_endian(table, stated_count);
  table.push_back(kSeekChecksumFlag);
  append_little_endian(table, kSeekFooterMagic);
  return table;
}

}  // namespace

std::vector<NamedBytes> hostile_tables() {
  constexpr uint32_t kExtentBytes = 64u << 20;
  std::vector<NamedBytes> all;
  all.push_back({"counts-4-billion-frames", forged_seek_table(100, 100, 2, UINT32_MAX)});
  all.push_back({"counts-a-million-frames", forged_seek_table(100, 100, 2, 999'999)});
  all.push_back({"frames-of-4-gib", forged_seek_table(100, UINT32_MAX, 2, 2)});
  all.push_back({"frames-of-no-bytes", forged_seek_table(0, 100, 2, 2)});
  all.push_back({"padding-overflows", forged_seek_table(UINT32_MAX, 0, 3, 3)});
  all.push_back({"expands-a-million-times", forged_seek_table(64, kExtentBytes, 30, 30)});
  return all;
}

// --- indexes of checkpoint directories ---

std::vector<NamedBytes> hostile_indexes() {
  std::vector<NamedBytes> all;
  const auto add = [&](const std::string& name, const std::string& text) {
    all.push_back({name, {}});
    append_text(all.back().bytes, text);
  };
  add("lists-500-deep", std::string(500, '[') + std::string(500, ']'));
  std::string objects;
  for (int i = 0; i < 100; ++i) objects += "{\"a\":";
  add("objects-100-deep", objects + "1" + std::string(100, '}'));
  std::string keys;
  for (int i = 0; i < 100; ++i) keys += fmt::format("\"{}\":0,", i);
  add("object-of-100-keys", "{" + keys + "\"format\":\"tintype-checkpoint-index\"}");
  add("number-beyond-doubles", R"({"format":"tintype-checkpoint-index","version":1e999})");
  add("version-of-65-bits",
      R"({"format":"tintype-checkpoint-index","version":36893488147419103232})");
  return all;
}

}  // namespace tintype::testing_support
