// Proof that a file is the one that was written, and that it is whole at its end.
#pragma once

#include <string_view>

#include "base/status.h"
#include "engine/directory/checkpoint_entry.h"
#include "io/disk/file_system.h"

namespace tintype {

Result<FileDigest> read_digest(File& file);
// not_found where nothing stands; invalid_argument for what is not a regular file.
Result<FileDigest> read_digest(Directory& directory, std::string_view name);

// Whether the file is an archive from its first byte to its last: end records and whole directory,
// in a compressed form the table of its extents. Finds truncated and foreign files; the payloads
// are not read.
Status check_end_records(File& file);

// The same of whatever may stand under a final name in a checkpoint directory: the two documents
// are whole if they are not empty. For SoundnessCheck.
bool is_whole_file(File& file);

}  // namespace tintype
