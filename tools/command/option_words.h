// The words of a call that begin with a dash, looked through before CLI11 has them: it would take
// `-3`, and what follows a flag in `-f19`, for the names of files.
#pragma once

#include <string>
#include <vector>

#include <CLI/App.hpp>

namespace tintype::command {

// Levels of a command that has `--level`, as zstd takes them: "-19" becomes "--level=19". Words
// behind "--" are names. Returns what to say of the first word that is no option of this command;
// empty where there is none.
std::string settle_options(const CLI::App& command, std::vector<std::string>& words);

}  // namespace tintype::command
