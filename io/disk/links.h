// Moving names in one open directory: `best` and `last` to a new file, losers away.
#pragma once

#include <memory>
#include <string_view>

#include "base/status.h"
#include "io/disk/file_system.h"

namespace tintype {

// Step 10: makes `link_name` in the same directory the same file as `existing`: reflink, else a
// hard link to a temp name + rename, else a copy. The same inode is left alone. The caller syncs
// the directory.
Status move_link(Directory& directory, std::string_view existing, std::string_view link_name);

// Step 12: opens, unlinks, and returns the open file so that its blocks are freed elsewhere; null
// where it could be removed but not opened.
Result<std::unique_ptr<File>> evict_file(Directory& directory, std::string_view name);

}  // namespace tintype
