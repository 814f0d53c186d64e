#include "tools/command/program.h"

#include <algorithm>
#include <new>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/no_memory.h"
#include "tools/command/help.h"
#include "tools/command/option_words.h"

namespace tintype::command {
namespace {

constexpr const char* kDescription =
    "Examples:\n"
    "  tintype inspect best.pth          list what a checkpoint holds\n"
    "  tintype verify checkpoints/*.pth  check every byte of several\n"
    "  tintype compress best.pth         make best.pth.ttz; decompress gives it back\n"
    "  tintype diff old.pth new.pth      which tensors differ, and how much\n"
    "  tintype ls logs/run7              list the checkpoints of a run\n"
    "  tintype doctor /data/run7         see what this machine offers to saves there\n"
    "\n"
    "Looks at PyTorch checkpoints without torch and without executing anything in them. Results\n"
    "go to standard output, all else to standard error. `tintype COMMAND --help` tells more.";

constexpr const char* kExitCodes =
    "Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 corrupt or different, 4 unsupported or over a\n"
    "limit, 5 input/output error, no space or no memory, 6 locked.";

constexpr const char* kVersion = "tintype " TINTYPE_VERSION
                                 "\n"
                                 "io_uring: yes\n"
                                 "cuda: " TINTYPE_CUDA
                                 "\n"
                                 "compressed forms: zstd, planes\n"
                                 "built by: " TINTYPE_COMPILER;

// Help and version are answers, everything else that parsing throws is wrong usage.
ExitCode answer(const CLI::App& app, const CLI::ParseError& error, Output& output) {
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
    std::ostringstream text;
    app.exit(error, text, text);
    output.print(text.str());
    return ExitCode::ok;
  }
  const auto chosen = app.get_subcommands();
  output.print_error(fmt::format("{}; see `tintype{} --help`", error.what(),
                                 chosen.empty() ? "" : " " + chosen.front()->get_name()));
  return ExitCode::usage;
}

const Command* find_command(const std::string& word, const std::vector<Command>& commands) {
  const auto found = std::find_if(commands.begin(), commands.end(), [&](const Command& command) {
    return command.arguments->get_name() == word;
  });
  return found == commands.end() ? nullptr : &*found;
}

std::string complaint_about_command(const std::string& word, const std::vector<Command>& commands) {
  std::vector<std::string> known;
  for (const Command& command : commands) known.push_back(command.arguments->get_name());
  const std::string closest = closest_word(word, known);
  return closest.empty() ? fmt::format("there is no command '{}'; see `tintype --help`", word)
                         : fmt::format("there is no command '{}'; is it '{}'?", word, closest);
}

// Memory and threads that the system refuses end as errors do: what the command made for itself
// goes with the stack, and the exit code says what it was.
ExitCode run_to_end(const Command& command, Output& output) {
  Status refused;
  try {
    return command.run(output);
  } catch (const std::bad_alloc&) {
    refused = no_memory(command.arguments->get_name());
  } catch (const std::system_error& error) {
    refused = errno_status(error.code().value(), "run", command.arguments->get_name(),
                           "see `ulimit -a` for a limit that is too low");
  }
  output.print_error(refused);
  return exit_code_for(refused);
}

}  // namespace

Program::Program() : app_(std::make_unique<CLI::App>("", "tintype")) {
  app_->footer(kExitCodes);
  app_->set_help_flag("-h,--help", "print this help and exit");  // the commands inherit it
  app_->set_version_flag("--version", kVersion, "print the version and what it was built with");
  app_->require_subcommand(1);
  for (const auto add : {add_inspect, add_verify, add_compress, add_decompress, add_diff, add_ls,
                         add_clean, add_doctor, add_bench, add_completions}) {
    commands_.push_back(add(*app_));
  }
  app_->formatter(std::make_shared<ExamplesFirst>(kDescription));
}

// Empty where all is well so far; the words are then as CLI11 understands them.
std::string Program::complaint_about(std::vector<std::string>& words) const {
  if (words.empty()) return "no command was given\n\n" + app_->help();
  const std::string& first = words.front();
  const Command* command = find_command(first, commands_);
  if (command != nullptr) return settle_options(*command->arguments, words);
  return first.starts_with('-') ? settle_options(*app_, words)
                                : complaint_about_command(first, commands_);
}

ExitCode Program::run(int argument_count, char** arguments, Output& output) {
  std::vector<std::string> words(arguments + 1, arguments + std::max(1, argument_count));
  const std::string complaint = complaint_about(words);
  if (!complaint.empty()) {
    output.print_error(complaint);
    return ExitCode::usage;
  }
  try {
    std::reverse(words.begin(), words.end());  // as CLI11 wants them
    app_->parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    return answer(*app_, error, output);
  }
  for (const Command& command : commands_) {
    if (command.arguments->parsed()) return run_to_end(command, output);
  }
  return ExitCode::usage;
}

}  // namespace tintype::command
