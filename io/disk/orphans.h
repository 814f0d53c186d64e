// Temporary files that a dead writer left behind.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/status.h"
#include "io/disk/file_system.h"

namespace tintype {

// Judges the file that stands under a final name: true if it is whole (end records, directory and
// size of an archive, say). Empty: every regular file that is not empty counts as whole.
using SoundnessCheck = std::function<bool(File&)>;

struct Orphan {
  std::string name;
  uint64_t size_bytes = 0;
  Status removal;  // ok where it is gone, or was only looked for
};

// The temps of dead writers: names of our form whose lock can be taken and whose host is ours;
// others after 24 h. Where a file stands under the final name, the temp may hold the one it
// replaced, so it counts only if `is_sound` says yes to the standing one. A temp that cannot be
// judged does not count.
Result<std::vector<Orphan>> find_orphans(Directory& directory, const SoundnessCheck& is_sound);

// Removes them and returns the same; files of other names are never touched. One that cannot be
// removed says why, and is left for the next time.
Result<std::vector<Orphan>> remove_orphans(Directory& directory, const SoundnessCheck& is_sound);
Result<std::vector<Orphan>> remove_orphans(FileSystem& file_system,
                                           const std::string& directory_path,
                                           const SoundnessCheck& is_sound);

}  // namespace tintype
