#include "tools/command/completion_scripts.h"

#include <string_view>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tintype::command {
namespace {

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (size_t at = 0; (at = text.find(what, at)) != std::string::npos; at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

// As one word of a shell.
std::string in_quotes(const std::string& text) {
  return "'" + replaced(text, "'", R"('\'')") + "'";
}

std::vector<std::string> names_of(const std::vector<ArgumentInfo>& arguments) {
  std::vector<std::string> names;
  for (const ArgumentInfo& one : arguments) {
    names.insert(names.end(), one.names.begin(), one.names.end());
  }
  return names;
}

std::vector<std::string> names_of(const std::vector<CommandInfo>& commands) {
  std::vector<std::string> names;
  for (const CommandInfo& command : commands) names.push_back(command.name);
  return names;
}

std::vector<std::string> choices_of(const std::vector<ArgumentInfo>& positionals) {
  return positionals.empty() ? std::vector<std::string>() : positionals.front().choices;
}

bool takes_directories(const CommandInfo& command) {
  return !command.positionals.empty() && is_directory(command.positionals.front().value);
}

// --- bash ---

std::string bash_case(const CommandInfo& command) {
  std::string text =
      fmt::format("    {}) options={}", command.name,
                  in_quotes(fmt::format("{}", fmt::join(names_of(command.options), " "))));
  if (const auto choices = choices_of(command.positionals); !choices.empty()) {
    text += fmt::format("; words={}", in_quotes(fmt::format("{}", fmt::join(choices, " "))));
  }
  if (takes_directories(command)) text += "; kind=-d";
  return text + " ;;\n";
}

// What follows an option that takes one of several words.
std::string bash_value_cases(const CommandInfo& command) {
  std::string text;
  for (const ArgumentInfo& option : command.options) {
    if (option.choices.empty()) continue;
    for (const std::string& name : option.names) {
      text += fmt::format("    {}) options=''; words={} ;;\n", in_quotes(command.name + " " + name),
                          in_quotes(fmt::format("{}", fmt::join(option.choices, " "))));
    }
  }
  return text;
}

// --- zsh ---

// In a description, brackets and colons end it.
std::string zsh_text(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '[' || c == ']' || c == ':' || c == '\\') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string zsh_value(const ArgumentInfo& argument) {
  std::string action;
  if (!argument.choices.empty()) action = fmt::format("({})", fmt::join(argument.choices, " "));
  if (is_file(argument.value)) action = "_files";
  if (is_directory(argument.value)) action = "_files -/";
  return fmt::format(":{}:{}", zsh_text(argument.value), action);
}

std::string zsh_option(const ArgumentInfo& option) {
  const std::string value = option.value.empty() ? "" : zsh_value(option);
  const std::string text = fmt::format("[{}]{}", zsh_text(option.text), value);
  std::string lines;
  for (const std::string& name : option.names) {
    const std::string spec = fmt::format("({}){}{}", fmt::join(option.names, " "), name, text);
    lines += fmt::format(" \\\n        {}", in_quotes(spec));
  }
  return lines;
}

std::string zsh_positional(const ArgumentInfo& positional) {
  return fmt::format(" \\\n        {}",
                     in_quotes((positional.is_repeated ? "*" : "") + zsh_value(positional)));
}

std::string zsh_case(const CommandInfo& command) {
  std::string text = fmt::format("    {})\n      _arguments -s", command.name);
  for (const ArgumentInfo& option : command.options) text += zsh_option(option);
  for (const ArgumentInfo& positional : command.positionals) text += zsh_positional(positional);
  return text + " ;;\n";
}

// --- fish ---

std::string fish_option(const std::string& condition, const ArgumentInfo& option) {
  std::string line = fmt::format("complete -c tintype -n {}", condition);
  for (const std::string& name : option.names) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.choices.empty()) {
    line += fmt::format(" -x -a {}", in_quotes(fmt::format("{}", fmt::join(option.choices, " "))));
  } else if (is_file(option.value)) {
    line += " -r -F";
  } else if (!option.value.empty()) {
    line += " -x";
  }
  return line + fmt::format(" -d {}\n", in_quotes(option.text));
}

std::string fish_command(const CommandInfo& command) {
  const std::string condition = in_quotes("__fish_seen_subcommand_from " + command.name);
  std::string text = fmt::format("complete -c tintype -n __fish_use_subcommand -f -a {} -d {}\n",
                                 command.name, in_quotes(command.summary));
  if (const auto choices = choices_of(command.positionals); !choices.empty()) {
    text += fmt::format("complete -c tintype -n {} -f -a {}\n", condition,
                        in_quotes(fmt::format("{}", fmt::join(choices, " "))));
  }
  if (takes_directories(command)) {
    text +=
        fmt::format("complete -c tintype -n {} -f -a '(__fish_complete_directories)'\n", condition);
  }
  for (const ArgumentInfo& option : command.options) text += fish_option(condition, option);
  return text;
}

}  // namespace

std::string bash_completions(const CommandInfo& program) {
  const auto commands = names_of(program.commands);
  std::string cases;
  std::string value_cases;
  for (const CommandInfo& command : program.commands) {
    cases += bash_case(command);
    value_cases += bash_value_cases(command);
  }
  return fmt::format(
      R"(# Completions of tintype for bash: source <(tintype completions bash)
_tintype() {{
  local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD - 1]}}"
  local command='' options={} words={} kind='' i
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "${{COMP_WORDS[i]}}" in
    {}) command="${{COMP_WORDS[i]}}"; options=''; words=''; break ;;
    esac
  done
  case "$command" in
{}  esac
  case "$command $before" in
{}  esac
  COMPREPLY=()
  if [[ "$word" == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
  elif [[ -n "$words" ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
  elif [[ -n "$kind" ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen "$kind" -- "$word")
  fi
}}
complete -o bashdefault -o default -F _tintype tintype
)",
      in_quotes(fmt::format("{}", fmt::join(names_of(program.options), " "))),
      in_quotes(fmt::format("{}", fmt::join(commands, " "))), fmt::join(commands, " | "), cases,
      value_cases);
}

std::string zsh_completions(const CommandInfo& program) {
  std::string described;
  std::string cases;
  std::string options;
  for (const ArgumentInfo& option : program.options) options += zsh_option(option);
  for (const CommandInfo& command : program.commands) {
    described += fmt::format("    {}\n", in_quotes(command.name + ":" + zsh_text(command.summary)));
    cases += zsh_case(command);
  }
  return fmt::format(
      R"(#compdef tintype
# Completions of tintype for zsh: source <(tintype completions zsh), or as _tintype in $fpath.
_tintype() {{
  local -a commands
  commands=(
{}  )
  if (( CURRENT == 2 )); then
    _describe -t commands command commands
    _arguments -s{}
    return
  fi
  shift words
  (( CURRENT -= 1 ))
  case "$words[1]" in
{}  esac
}}
if [[ "$funcstack[1]" == _tintype ]]; then
  _tintype "$@"
else
  compdef _tintype tintype
fi
)",
      described, options, cases);
}

std::string fish_completions(const CommandInfo& program) {
  std::string text = "# Completions of tintype for fish: tintype completions fish | source\n";
  for (const ArgumentInfo& option : program.options) {
    text += fish_option("__fish_use_subcommand", option);
  }
  for (const CommandInfo& command : program.commands) text += fish_command(command);
  return text;
}

}  // namespace tintype::command
