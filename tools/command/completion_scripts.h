// Scripts by which shells complete the command's words.
#pragma once

#include <string>

#include "tools/command/command_tree.h"

namespace tintype::command {

std::string bash_completions(const CommandInfo& program);
std::string zsh_completions(const CommandInfo& program);
std::string fish_completions(const CommandInfo& program);

}  // namespace tintype::command
