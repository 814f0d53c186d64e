// Where a path leads: its directory, opened, and the name in it.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "io/disk/file_system.h"

namespace tintype {

struct TargetPath {
  std::unique_ptr<Directory> directory;
  std::string name;
  std::string path;  // absolute; the last component is no followed symlink, but perhaps a magic one
};

// Where to save. Resolves symlinks of the last component when they are followed, dangling ones too,
// and refuses a target that is neither a regular file nor nothing: a directory with EISDIR, a
// device, pipe or socket, and a magic link (/dev/stdout), with `unsupported`. Touches nothing.
Result<TargetPath> resolve_target(FileSystem& file_system, const std::string& path,
                                  bool is_symlink_followed);

// What to read: as above with symlinks followed, and not_found (ENOENT) where nothing stands. A
// regular file behind a magic link (/dev/fd/3) is read, though it may have no name any more.
Result<TargetPath> resolve_source(FileSystem& file_system, const std::string& path);

}  // namespace tintype
