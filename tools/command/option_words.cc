#include "tools/command/option_words.h"

#include <algorithm>

#include <fmt/format.h>

#include "tools/command/command_tree.h"
#include "tools/command/help.h"

namespace tintype::command {
namespace {

constexpr const char* kLevel = "--level";

const ArgumentInfo* find_option(const CommandInfo& command, const std::string& name) {
  for (const ArgumentInfo& option : command.options) {
    const auto& names = option.names;
    if (std::find(names.begin(), names.end(), name) != names.end()) return &option;
  }
  return nullptr;
}

bool is_level(const std::string& word) {
  return word.size() <= 3 && word.find_first_not_of("0123456789", 1) == std::string::npos;
}

struct Recognized {
  bool is_known = true;
  bool is_value_next = false;  // the next word is its value
};

Recognized recognize_long(const CommandInfo& command, const std::string& word) {
  const size_t equals = word.find('=');
  const ArgumentInfo* option = find_option(command, word.substr(0, equals));
  if (option == nullptr) return {.is_known = false};
  return {.is_value_next = equals == std::string::npos && !option->value.empty()};
}

// Flags may stand together, and before an option with its value: "-qfT8".
Recognized recognize_short(const CommandInfo& command, const std::string& word) {
  for (size_t i = 1; i < word.size(); ++i) {
    const ArgumentInfo* option = find_option(command, {'-', word[i]});
    if (option == nullptr) return {.is_known = false};
    if (!option->value.empty()) return {.is_value_next = i + 1 == word.size()};
  }
  return {};
}

std::string complaint_about(const std::string& word, const CLI::App& app,
                            const CommandInfo& command) {
  const std::string name = word.substr(0, word.find('='));
  std::vector<std::string> known;
  for (const ArgumentInfo& option : command.options) known.push_back(option.names.back());
  const std::string closest = name.starts_with("--") ? closest_word(name, known) : "";
  if (!closest.empty()) return fmt::format("there is no option '{}'; is it '{}'?", name, closest);
  const bool is_program = app.get_parent() == nullptr;
  return fmt::format("there is no option '{}'; see `tintype{} --help`", name,
                     is_program ? "" : " " + command.name);
}

}  // namespace

std::string settle_options(const CLI::App& command, std::vector<std::string>& words) {
  const CommandInfo info = describe(command);
  const bool has_levels = find_option(info, kLevel) != nullptr;
  for (auto word = words.begin(); word != words.end() && *word != "--"; ++word) {
    if (word->size() < 2 || word->front() != '-') continue;
    if (has_levels && is_level(*word)) {
      *word = fmt::format("{}={}", kLevel, word->substr(1));
      continue;
    }
    const Recognized recognized =
        word->starts_with("--") ? recognize_long(info, *word) : recognize_short(info, *word);
    if (!recognized.is_known) return complaint_about(*word, command, info);
    const bool is_value_empty = word->starts_with("--") && word->find('=') == word->size() - 1;
    // CLI11 would take the next word for it: an input, where a shell's variable is empty.
    if (is_value_empty) return fmt::format("'{}' has no value behind it", *word);
    if (recognized.is_value_next && word + 1 != words.end()) ++word;
  }
  return "";
}

}  // namespace tintype::command
