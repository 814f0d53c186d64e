// What a directory can do of that which saving asks of it, tried in the order of a save.
#pragma once

#include <vector>

#include "io/disk/file_system.h"
#include "io/disk/write_queue.h"
#include "tools/doctor/finding.h"

namespace tintype::doctor {

// Tries each operation on small files of its own and removes them again; nothing else in the
// directory is touched. `queue` does the writing. Appends to `findings`; the status is the first
// failure that would fail a save too.
Status examine_directory(Directory& directory, WriteQueue& queue, std::vector<Finding>& findings);

}  // namespace tintype::doctor
