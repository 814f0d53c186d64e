// The records by which a zip shows to be a torch checkpoint, and of which kind.
#pragma once

#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/archive/zip_reader.h"

namespace tintype {

enum class ByteOrder { little, big };

// The byte order of the storages of what torch.load reads as a checkpoint. unsupported for
// TorchScript, a zip without a pickle, a newer format version; corruption where the records that
// say so are damaged.
Result<ByteOrder> check_kind(const ByteSource& source, const ZipIndex& index);

}  // namespace tintype
