// The subcommands. Each lives in a file of its own and is listed in program.cc.
#pragma once

#include <functional>

#include <CLI/App.hpp>

#include "tools/command/exit_code.h"
#include "tools/command/output.h"

namespace tintype::command {

struct Command {
  CLI::App* arguments;  // owned by the parent
  // REQUIRES: `arguments` was parsed.
  std::function<ExitCode(Output&)> run;
};

Command add_inspect(CLI::App& parent);
Command add_verify(CLI::App& parent);
Command add_compress(CLI::App& parent);
Command add_decompress(CLI::App& parent);
Command add_diff(CLI::App& parent);
Command add_ls(CLI::App& parent);
Command add_clean(CLI::App& parent);
Command add_doctor(CLI::App& parent);
Command add_bench(CLI::App& parent);
Command add_completions(CLI::App& parent);

}  // namespace tintype::command
