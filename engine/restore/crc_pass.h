// Reads records by several threads and compares their CRCs; nothing is kept of their payloads.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "engine/restore/parallel_read.h"
#include "io/archive/byte_source.h"
#include "io/archive/read_limits.h"
#include "io/archive/zip_reader.h"

namespace tintype {

struct RecordCheck {
  Status status;            // ok, or why the record is not what the directory says
  uint64_t end_offset = 0;  // behind its payload and descriptor, where status is ok
};

// Checks local header, payload and descriptor of the records at these positions of the index
// (ascending); the answer has one entry for each. Payloads without a CRC are not read.
// `interrupted` where the options' question is answered with true.
Result<std::vector<RecordCheck>> check_records(const ByteSource& source, const ZipIndex& index,
                                               const std::vector<uint32_t>& positions,
                                               const ReadOptions& options,
                                               const ReadLimits& limits = {});

}  // namespace tintype
