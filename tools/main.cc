// The `tintype` command: looks at checkpoints and at machines, without torch and without CUDA.
#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "tools/command/commands.h"
#include "tools/command/help.h"

namespace {

using tintype::command::Command;
using tintype::command::ExitCode;
using tintype::command::Output;

constexpr const char* kDescription =
    "Examples:\n"
    "  tintype inspect best.pth          list what a checkpoint holds\n"
    "  tintype verify checkpoints/*.pth  check every byte of several\n"
    "  tintype diff old.pth new.pth      which tensors differ, and how much\n"
    "  tintype ls logs/run7              list the checkpoints of a run\n"
    "  tintype doctor /data/run7         see what this machine offers to saves there\n"
    "\n"
    "Looks at PyTorch checkpoints without torch and without executing anything in them. Results\n"
    "go to standard output, all else to standard error. `tintype COMMAND --help` tells more.";

constexpr const char* kExitCodes =
    "Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 corrupt or different, 4 unsupported or over a\n"
    "limit, 5 input/output error or no space, 6 locked.";

constexpr const char* kVersion = "tintype " TINTYPE_VERSION
                                 "\n"
                                 "io_uring: yes\n"
                                 "cuda: no\n"
                                 "compressed forms: none\n"
                                 "built by: " TINTYPE_COMPILER;

// Help and version are answers, everything else that parsing throws is wrong usage.
ExitCode answer(const CLI::App& app, const CLI::ParseError& error, Output& output) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    return app.exit(error) == 0 ? ExitCode::ok : ExitCode::failed;
  }
  const auto chosen = app.get_subcommands();
  output.print_error(fmt::format("{}; see `tintype{} --help`", error.what(),
                                 chosen.empty() ? "" : " " + chosen.front()->get_name()));
  return ExitCode::usage;
}

// Empty where the first word is a command, or an option.
std::string complaint_about(const std::string& word, const std::vector<Command>& commands) {
  std::vector<std::string> known;
  for (const Command& command : commands) known.push_back(command.arguments->get_name());
  if (word.starts_with('-') || std::find(known.begin(), known.end(), word) != known.end()) {
    return "";
  }
  const std::string closest = tintype::command::closest_word(word, known);
  return closest.empty() ? fmt::format("there is no command '{}'; see `tintype --help`", word)
                         : fmt::format("there is no command '{}'; is it '{}'?", word, closest);
}

ExitCode run(int argument_count, char** arguments, Output& output) {
  CLI::App app("", "tintype");
  app.footer(kExitCodes);
  app.set_version_flag("--version", kVersion, "print the version and what it was built with");
  app.require_subcommand(1);
  const std::vector<Command> commands = {
      tintype::command::add_inspect(app),
      tintype::command::add_verify(app),
      tintype::command::add_diff(app),
      tintype::command::add_ls(app),
      tintype::command::add_clean(app),
      tintype::command::add_doctor(app),
  };
  app.formatter(std::make_shared<tintype::command::ExamplesFirst>(kDescription));
  const std::string complaint = argument_count > 1 ? complaint_about(arguments[1], commands)
                                                   : "no command was given\n\n" + app.help();
  if (!complaint.empty()) {
    output.print_error(complaint);
    return ExitCode::usage;
  }
  try {
    app.parse(argument_count, arguments);
  } catch (const CLI::ParseError& error) {
    return answer(app, error, output);
  }
  for (const Command& command : commands) {
    if (command.arguments->parsed()) return command.run(output);
  }
  return ExitCode::usage;
}

}  // namespace

int main(int argument_count, char** arguments) {
  tintype::command::prepare_standard_streams();
  Output output;
  ExitCode code = run(argument_count, arguments, output);
  const tintype::Status written = output.finish();
  if (!written.is_ok()) {
    output.print_error(written.message());
    code = tintype::command::worse_of(code, tintype::command::exit_code_for(written));
  }
  return static_cast<int>(code);
}
