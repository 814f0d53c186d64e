// Reads every record of an archive by several threads and compares its CRC.
#pragma once

#include <cstdint>
#include <vector>

#include "base/status.h"
#include "engine/restore/verify.h"
#include "io/archive/byte_source.h"
#include "io/archive/zip_reader.h"

namespace tintype {

struct RecordCheck {
  Status status;            // ok, or why the record is not what the directory says
  uint64_t end_offset = 0;  // behind its payload and descriptor, where status is ok
};

// Checks local header, payload and descriptor of each record of the index; payloads without a CRC
// are not read, nor are storages that the options leave out. `interrupted` where the options'
// question is answered with true.
Result<std::vector<RecordCheck>> check_records(const ByteSource& source, const ZipIndex& index,
                                               const VerifyOptions& options);

// Whether the options want the record's payload to be read.
bool is_wanted(const ArchiveRecord& record, const VerifyOptions& options);

}  // namespace tintype
