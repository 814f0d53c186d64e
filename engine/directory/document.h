// The small text files of a checkpoint directory.
#pragma once

#include <string_view>

#include "base/status.h"
#include "io/disk/file_system.h"

namespace tintype {

// Replaces the file `name` by one that holds `text`: as the commit protocol does it, but the caller
// syncs the directory, once for several. Until then a power cut may leave either of the two.
Status put_document(Directory& directory, std::string_view name, std::string_view text);

}  // namespace tintype
