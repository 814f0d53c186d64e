#include "tools/command/command_tree.h"

#include <array>
#include <memory>
#include <string_view>

#include "tools/command/help.h"

namespace tintype::command {
namespace {

// "{bash,fish,zsh}" as CLI11 writes what IsMember takes.
std::vector<std::string> split_choices(std::string_view text) {
  std::vector<std::string> choices;
  if (!text.starts_with('{') || !text.ends_with('}')) return choices;
  text = text.substr(1, text.size() - 2);
  while (!text.empty()) {
    const size_t comma = text.find(',');
    choices.emplace_back(text.substr(0, comma));
    text = comma == std::string_view::npos ? "" : text.substr(comma + 1);
  }
  return choices;
}

template <size_t kCount>
bool contains(const std::array<std::string_view, kCount>& words, std::string_view word) {
  return std::find(words.begin(), words.end(), word) != words.end();
}

}  // namespace

ArgumentInfo describe(const CLI::Option& option) {
  ArgumentInfo info;
  for (const std::string& name : option.get_snames()) info.names.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) info.names.push_back("--" + name);
  if (!option.nonpositional()) info.names = {option.get_name()};
  info.text = option.get_description();
  if (option.get_items_expected_max() > 0) {
    // "N:UINT in [0 - 1024]": the name of the value, then those of its checks.
    const std::string type = option.get_type_name();
    const size_t colon = type.find(':');
    info.value = option.nonpositional() ? type.substr(0, colon) : option.get_name();
    if (colon != std::string::npos) info.choices = split_choices(type.substr(colon + 1));
    info.default_value = option.get_default_str();
  }
  info.is_required = option.get_required();
  info.is_repeated = option.get_items_expected_max() > 1;
  return info;
}

CommandInfo describe(const CLI::App& app) {
  CommandInfo info;
  info.name = app.get_name();
  info.summary = app.get_description();
  if (const auto* help = dynamic_cast<const ExamplesFirst*>(app.get_formatter().get())) {
    info.text = help->text();
  }
  for (const CLI::Option* option : app.get_options()) {
    (option->nonpositional() ? info.options : info.positionals).push_back(describe(*option));
  }
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    info.commands.push_back(describe(*command));
  }
  return info;
}

bool is_file(const std::string& value_name) {
  return contains(std::array<std::string_view, 3>{"FILE", "FIRST", "SECOND"}, value_name);
}

bool is_directory(const std::string& value_name) {
  return contains(std::array<std::string_view, 2>{"DIR", "LOGDIR"}, value_name);
}

}  // namespace tintype::command
