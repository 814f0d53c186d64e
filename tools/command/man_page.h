// The manual: tintype(1).
#pragma once

#include <string>

#include "tools/command/command_tree.h"

namespace tintype::command {

// In the man macros of roff. `version` is the program's.
std::string man_page(const CommandInfo& program, const std::string& version);

}  // namespace tintype::command
