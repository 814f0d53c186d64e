// Local headers made of what the directory says, for a reader that asks for those of records that
// are left out: in a compressed file each one that is read costs a whole extent.
#pragma once

#include <cstdint>

#include "base/bytes.h"
#include "io/archive/zip_reader.h"

namespace tintype {

// Where the payload lies if the records follow each other without a gap, as torch writes them; else
// directly behind the shortest header. In the source, as all offsets of the index.
uint64_t assumed_payload(const ZipIndex& index, const ArchiveRecord& record);

// All that stands from the record's header_offset up to the payload: header, name and padding. The
// sizes are left to a descriptor. REQUIRES: payload_offset is assumed_payload's.
ByteVector stand_in_header(const ZipIndex& index, const ArchiveRecord& record,
                           uint64_t payload_offset);

}  // namespace tintype
