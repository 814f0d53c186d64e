// Which file system a directory lies on, as the kernel lists it.
#pragma once

#include <string>
#include <string_view>

#include "tools/doctor/finding.h"

namespace tintype::doctor {

// "ext4", "nfs4", "fuse.sshfs"; empty where /proc does not tell.
std::string file_system_type_of(const std::string& directory_path);

// What is known of that kind of file system.
Finding judge_file_system(std::string_view type);

}  // namespace tintype::doctor
