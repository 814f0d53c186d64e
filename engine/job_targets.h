// Where the files of a save will stand, looked at before anything blocks or is touched.
#pragma once

#include "base/status.h"
#include "engine/save_job.h"
#include "io/disk/file_system.h"

namespace tintype {

// Fills job.files, parallel to the plan's images. What cannot be a target is refused; so is a
// symlink whose end asks by its name for another form than its own does.
Status open_targets(FileSystem& file_system, SaveJob& job);

}  // namespace tintype
