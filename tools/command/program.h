// The whole `tintype` command: its arguments and what runs for them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <CLI/App.hpp>

#include "tools/command/commands.h"
#include "tools/command/exit_code.h"
#include "tools/command/output.h"

namespace tintype::command {

class Program {
 public:
  Program();

  const CLI::App& arguments() const { return *app_; }
  ExitCode run(int argument_count, char** arguments, Output& output);

 private:
  std::string complaint_about(std::vector<std::string>& words) const;

  std::unique_ptr<CLI::App> app_;
  std::vector<Command> commands_;
};

}  // namespace tintype::command
