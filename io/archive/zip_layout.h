// Where every record of a torch archive lies, and the exact bytes around the payloads, computed
// before a byte moves. Equal to PyTorchStreamWriter with miniz (io/archive/FORMAT.md has the
// tables). Pure functions; no payload passes through here.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace tintype {

// torch writes the file's stem here for a path and "archive" for a buffer; ours is always the
// latter.
inline constexpr std::string_view kArchiveRoot = "archive";

struct ZipRecord {
  std::string name;         // without the root: "data.pkl", "data/0"
  uint64_t size_bytes = 0;  // of the payload
  uint64_t header_offset = 0;
  uint64_t data_offset = 0;  // a multiple of the alignment
  uint64_t end_offset = 0;   // behind the descriptor

  uint64_t descriptor_bytes() const { return end_offset - data_offset - size_bytes; }
};

struct ZipLayout {
  std::vector<ZipRecord> records;
  uint64_t alignment = 64;
  uint64_t directory_offset = 0;
  uint64_t total_bytes = 0;
};

struct RecordSize {
  std::string name;
  uint64_t size_bytes = 0;
};

// invalid_argument for an alignment outside 1..32768, up to which the padding always fits its 16
// bits.
Result<ZipLayout> lay_out_zip(std::vector<RecordSize> records, uint64_t alignment);

// The local header with its padding: data_offset - header_offset bytes.
void append_local_header(const ZipRecord& record, ByteVector& target);
// The data descriptor: record.descriptor_bytes() bytes, none for an empty record.
void append_descriptor(const ZipRecord& record, uint32_t crc, ByteVector& target);
// Central directory and end records: total_bytes - directory_offset bytes. crcs[i] is records[i]'s.
void append_directory(const ZipLayout& layout, std::span<const uint32_t> crcs, ByteVector& target);

}  // namespace tintype
