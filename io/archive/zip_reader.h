// Reads the structure of a torch archive (a zip): which records there are and where they lie.
// Strict: what a sound writer never writes is refused, since a second reader may read it otherwise.
// No record's payload passes through here. Pure; see io/archive/FORMAT.md for the tables.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/archive/read_limits.h"

namespace tintype {

enum class ZipMethod : uint16_t { stored = 0, deflated = 8, zstd = 93 };

// One entry of the central directory. Offsets are in bytes from the start of the source.
struct ArchiveRecord {
  std::string name;  // without the root: "data.pkl", "data/0"; empty for an entry "root/"
  uint64_t header_offset = 0;
  uint64_t limit_offset = 0;  // no byte of it lies here or behind: the next header or the directory
  uint64_t stored_bytes = 0;  // of the payload in the file
  uint64_t size_bytes = 0;    // of the payload once expanded
  uint32_t crc32 = 0;         // of the expanded payload
  ZipMethod method = ZipMethod::stored;
  uint16_t flags = 0;

  // torch writes 0 for "not computed" (compute_crc32=False, skip_data).
  bool is_crc_known() const { return crc32 != 0 || size_bytes == 0; }
  bool has_descriptor() const { return (flags & 0x0008u) != 0; }
};

struct ZipIndex {
  std::string root;           // what all names in the file begin with, without the slash
  uint64_t start_offset = 0;  // of the archive in the source
  uint64_t directory_offset = 0;
  uint64_t end_offset = 0;             // in the source; a comment and zeros may follow
  std::vector<ArchiveRecord> records;  // in file order
  std::vector<std::string> notes;      // tolerated oddities, for verify

  // Null where there is none of this name. torch ignores case, and so two names that differ by case
  // only are refused; this is exact.
  const ArchiveRecord* find(std::string_view name) const;

  std::unordered_map<std::string_view, uint32_t> by_name;  // into records

  ZipIndex() = default;
  ZipIndex(ZipIndex&&) = default;  // keeps the records where they are, and so the views of names
  ZipIndex& operator=(ZipIndex&&) = default;
};

// Reads and checks end records and central directory: names, flags, methods, sizes, overlaps, all
// in range. Local headers are not read. corruption names the record and the offset of what is
// wrong; a source that is no zip gets the text of explain_foreign_file.
Result<ZipIndex> read_zip_index(const ByteSource& source, const ReadLimits& limits = {});

// Reads a record's local header, checks that it agrees with the directory, and returns the offset
// of the payload in the source.
Result<uint64_t> locate_payload(const ByteSource& source, const ZipIndex& index,
                                const ArchiveRecord& record);

// Checks the copy of CRC and sizes behind the payload; ok where the record has none.
Status check_descriptor(const ByteSource& source, const ArchiveRecord& record,
                        uint64_t payload_offset);

}  // namespace tintype
