// The records by which a zip shows to be a torch checkpoint, and of which kind.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/archive/zip_reader.h"

namespace tintype {

inline constexpr std::string_view kPickleRecord = "data.pkl";

// "data/" + key.
std::string storage_record(std::string_view key);

enum class ByteOrder { little, big };

// The byte order of the storages of what torch.load reads as a checkpoint. unsupported for
// TorchScript, a zip without a pickle, a newer format version; corruption where the records that
// say so are damaged.
Result<ByteOrder> check_kind(const ByteSource& source, const ZipIndex& index);

}  // namespace tintype
