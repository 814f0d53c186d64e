// The seek table of the zstd form, as zstd's seekable format has it: entries, one for each frame in
// file order, and a footer.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "io/archive/compressed_form.h"

namespace tintype {

// What a table says of one frame.
struct SeekEntry {
  uint32_t frame_bytes = 0;
  uint32_t plain_bytes = 0;
  uint32_t checksum = 0;  // of the content: XXH64's low half; where the table has checksums
};

struct SeekFooter {
  uint32_t entry_count = 0;
  bool has_checksums = false;
  bool is_known = true;  // false: a flag is set that no version has

  uint64_t entry_bytes() const {
    return has_checksums ? kSeekEntryBytes : kSeekEntryBytes - sizeof(uint32_t);
  }
  // Behind the header of the table's own frame.
  uint64_t content_bytes() const { return entry_count * entry_bytes() + kSeekFooterBytes; }
};

// REQUIRES: `footer` has kSeekFooterBytes.
inline SeekFooter read_seek_footer(ByteView footer) {
  constexpr std::byte kReservedFlags{0x7C};
  return {.entry_count = load_little_endian<uint32_t>(footer, 0),
          .has_checksums = (footer[4] & kSeekChecksumFlag) != std::byte{0},
          .is_known = (footer[4] & kReservedFlags) == std::byte{0}};
}

// The entry at this byte of `entries`.
inline SeekEntry read_seek_entry(ByteView entries, size_t offset, bool has_checksum) {
  return {.frame_bytes = load_little_endian<uint32_t>(entries, offset),
          .plain_bytes = load_little_endian<uint32_t>(entries, offset + 4),
          .checksum = has_checksum ? load_little_endian<uint32_t>(entries, offset + 8) : 0};
}

}  // namespace tintype
