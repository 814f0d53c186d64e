// From which full file a job resumes.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"
#include "engine/directory/directory_state.h"

namespace tintype {

// The front end's check of one full file, or else of its end records.
Status check_full_file(const DirectoryState& state, Directory& directory, std::string_view name);

// See CheckpointDirectory::find_resume_point. Uses state.caller_directory; takes state_mutex.
Result<CheckpointDirectory::ResumePoint> locate_resume_point(DirectoryState& state,
                                                             const std::string& what);

}  // namespace tintype
