// Payloads of records, with their CRC.
#pragma once

#include <cstdint>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/restore/parallel_read.h"
#include "io/archive/byte_source.h"
#include "io/archive/read_limits.h"
#include "io/archive/zip_reader.h"

namespace tintype {

// unsupported for zstd and for an expansion over the limits; else ok.
Status check_method(const ArchiveRecord& record, const ReadLimits& limits);

// Fills `target` (record.size_bytes) and compares the CRC where the file has one. corruption names
// the record, its offset and both CRCs. Does not look at limits: see check_method.
Status read_payload(const ByteSource& source, uint64_t payload_offset, const ArchiveRecord& record,
                    MutableBytes target, const ReadOptions& options = {});

// The same into memory of its own; unsupported over `limit_bytes`.
Result<ByteVector> read_small_payload(const ByteSource& source, const ZipIndex& index,
                                      const ArchiveRecord& record, uint64_t limit_bytes);

Status crc_mismatch(const ArchiveRecord& record, uint32_t computed);

}  // namespace tintype
