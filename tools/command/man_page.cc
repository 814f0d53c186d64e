#include "tools/command/man_page.h"

#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace tintype::command {
namespace {

constexpr std::string_view kExamples = "Examples:\n";

// Backslashes and hyphens mean something to roff, and so does a line's first dot or quote.
std::string escaped(std::string_view text) {
  std::string result;
  bool is_line_start = true;
  for (const char c : text) {
    if (is_line_start && (c == '.' || c == '\'')) result += "\\&";
    is_line_start = c == '\n';
    if (c == '\\') {
      result += "\\e";
    } else if (c == '-') {
      result += "\\-";
    } else {
      result += c;
    }
  }
  return result;
}

std::string value_text(const ArgumentInfo& argument) {
  if (argument.value.empty()) return "";
  return fmt::format(" \\fI{}\\fR", escaped(argument.value));
}

std::string option_entry(const ArgumentInfo& option) {
  std::vector<std::string> names;
  for (const std::string& name : option.names) {
    names.push_back(fmt::format("\\fB{}\\fR", escaped(name)));
  }
  std::string text = option.text;
  if (!option.choices.empty()) {
    text += fmt::format(" ({})", fmt::join(option.choices, ", "));
  }
  if (!option.default_value.empty()) text += fmt::format(" (default {})", option.default_value);
  return fmt::format(".TP\n{}{}\n{}\n", fmt::join(names, ", "), value_text(option), escaped(text));
}

std::string synopsis(const CommandInfo& command) {
  std::string line = fmt::format("\\fBtintype {}\\fR [\\fIOPTIONS\\fR]", escaped(command.name));
  for (const ArgumentInfo& positional : command.positionals) {
    const std::string name =
        fmt::format("\\fI{}\\fR{}", escaped(positional.value), positional.is_repeated ? "..." : "");
    line += positional.is_required ? " " + name : " [" + name + "]";
  }
  return line;
}

// The examples as they are, then the rest as paragraphs.
std::string description(std::string_view text) {
  std::string_view examples;
  if (text.starts_with(kExamples)) {
    const size_t end = std::min(text.find("\n\n"), text.size());
    examples = text.substr(kExamples.size(), end - kExamples.size());
    text.remove_prefix(std::min(end + 2, text.size()));
  }
  std::string page = escaped(text) + "\n";
  if (!examples.empty()) page += fmt::format(".PP\n.nf\n{}\n.fi\n", escaped(examples));
  return page;
}

std::string command_section(const CommandInfo& command) {
  std::string page = fmt::format(".SS {}\n{}\n.PP\n{}", escaped(command.name), synopsis(command),
                                 description(command.text));
  for (const ArgumentInfo& option : command.options) page += option_entry(option);
  return page;
}

constexpr std::string_view kEnd =
    R"(.SH EXIT STATUS
.TP
0
ok, or equal
.TP
1
failed for a reason that has no code of its own
.TP
2
wrong usage
.TP
3
corrupt or different
.TP
4
unsupported or over a limit
.TP
5
input or output error, or no space
.TP
6
locked by another process
.PP
Of several files, damage is answered before what kept the others from being judged.
.SH ENVIRONMENT
.TP
NO_COLOR
Set to anything but nothing, it turns colour off.
.TP
TERM
The value
.I dumb
turns colour and progress off.
.SH SEE ALSO
.BR zstd (1),
.BR jq (1)
)";

}  // namespace

std::string man_page(const CommandInfo& program, const std::string& version) {
  std::string page = fmt::format(
      ".TH TINTYPE 1 \"\" \"tintype {}\" \"User Commands\"\n"
      ".SH NAME\ntintype \\- look at PyTorch checkpoints, and at machines that save them\n"
      ".SH SYNOPSIS\n",
      version);
  for (const CommandInfo& command : program.commands) page += synopsis(command) + "\n.br\n";
  page += ".SH DESCRIPTION\n" + description(program.text) + ".SH OPTIONS\n";
  for (const ArgumentInfo& option : program.options) page += option_entry(option);
  page += ".SH COMMANDS\n";
  for (const CommandInfo& command : program.commands) page += command_section(command);
  return page + std::string(kEnd);
}

}  // namespace tintype::command
