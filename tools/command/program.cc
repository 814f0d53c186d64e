#include "tools/command/program.h"

#include <algorithm>
#include <new>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/no_memory.h"
#include "tools/command/help.h"

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

// Empty where the first word is a command, or an option.
std::string complaint_about(const std::string& word, const std::vector<Command>& commands) {
  std::vector<std::string> known;
  for (const Command& command : commands) known.push_back(command.arguments->get_name());
  if (word.starts_with('-') || std::find(known.begin(), known.end(), word) != known.end()) {
    return "";
  }
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

bool takes_value(std::string_view option) {
  return option == "-o" || option == "--output" || option == "-T" || option == "--threads" ||
         option == "-l" || option == "--level" || option == "--form";
}

// As zstd takes its levels: "-19" becomes "--level=19".
std::vector<std::string> with_levels(int argument_count, char** arguments) {
  std::vector<std::string> words(arguments, arguments + argument_count);
  if (words.size() < 2 || words[1] != "compress") return words;
  for (auto word = words.begin() + 2; word != words.end() && *word != "--"; ++word) {
    const bool is_level = word->size() >= 2 && word->size() <= 3 && word->front() == '-' &&
                          word->find_first_not_of("0123456789", 1) == std::string::npos;
    if (is_level && !takes_value(*(word - 1))) word->replace(0, 1, "--level=");
  }
  return words;
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

ExitCode Program::run(int argument_count, char** arguments, Output& output) {
  const std::string complaint = argument_count > 1 ? complaint_about(arguments[1], commands_)
                                                   : "no command was given\n\n" + app_->help();
  if (!complaint.empty()) {
    output.print_error(complaint);
    return ExitCode::usage;
  }
  try {
    std::vector<std::string> words = with_levels(argument_count, arguments);
    words.erase(words.begin());
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
