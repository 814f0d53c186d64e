// Names of files among a command's arguments.
#pragma once

#include <string>

namespace tintype::command {

// A check for options of CLI11: empty where it is a name of a file; else, for `-`, why it is none.
// For commands that read a file at any place, which a stream does not have.
std::string refuse_stream(const std::string& name);

}  // namespace tintype::command
