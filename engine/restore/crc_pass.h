// Reads every record of an archive by several threads and compares its CRC.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/archive/read_limits.h"
#include "io/archive/zip_reader.h"

namespace tintype {

struct RecordCheck {
  Status status;              // ok, or why the record is not what the directory says
  uint64_t end_offset = 0;    // behind its payload and descriptor, where status is ok
};

// Checks local header, payload and descriptor of each record of the index; payloads without a CRC
// are not read. `interrupted` where the question is answered with true (asked on this thread).
Result<std::vector<RecordCheck>> check_records(const ByteSource& source, const ZipIndex& index,
                                               const ReadLimits& limits, uint32_t thread_count,
                                               const std::function<bool()>& is_interrupted);

}  // namespace tintype
