// The end of a zip file: its end records, and by them the place of the central directory.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "io/archive/byte_source.h"

namespace tintype {

// Offsets are in the source. Offsets that records name are relative to start_offset.
struct DirectoryPlace {
  uint64_t start_offset = 0;  // of the archive: not 0 where other bytes stand in front of it
  uint64_t offset = 0;        // of the first directory entry
  uint64_t size_bytes = 0;
  uint64_t record_count = 0;
  uint64_t end_offset = 0;         // behind the end record; a comment and zeros may follow
  std::vector<std::string> notes;  // what is tolerated but odd: comment, zeros behind, bytes before
};

// Finds the end records, with up to 64 KiB of comment or of zeros behind them, and checks that they
// agree with each other and with the size. corruption where there are none or they contradict.
Result<DirectoryPlace> find_directory(const ByteSource& source);

// What a source without end records is: `unsupported` for torch's older formats and other known
// file kinds, with what reads them; `corruption` for an empty, cut off or unknown one.
Status explain_foreign_file(const ByteSource& source);

// `unsupported`: a zip that holds something else.
Status explain_ordinary_zip(const ByteSource& source);

}  // namespace tintype
