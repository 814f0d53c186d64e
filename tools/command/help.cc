#include "tools/command/help.h"

#include <algorithm>
#include <numeric>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tools/command/command_tree.h"

namespace tintype::command {
namespace {

constexpr size_t kDistanceMax = 2;
constexpr uint32_t kThreadsMax = 1024;

// Levenshtein's: how many characters must be inserted, removed or replaced.
size_t distance_between(const std::string& first, const std::string& second) {
  std::vector<size_t> row(second.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < first.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < second.size(); ++j) {
      const size_t replaced = diagonal + (first[i] == second[j] ? 0 : 1);
      diagonal = std::exchange(row[j + 1], std::min({replaced, row[j] + 1, row[j + 1] + 1}));
    }
  }
  return row.back();
}

}  // namespace

std::string ExamplesFirst::make_option_name(const CLI::Option* option, bool) const {
  return fmt::format("{}", fmt::join(describe(*option).names, ", "));
}

std::string ExamplesFirst::make_option_opts(const CLI::Option* option) const {
  const ArgumentInfo info = describe(*option);
  std::string text;
  if (option->nonpositional() && !info.value.empty()) text += " " + info.value;
  if (info.is_repeated) text += "...";
  if (!option->nonpositional() && !info.is_required) text += " (optional)";
  return text;
}

std::string ExamplesFirst::make_option_desc(const CLI::Option* option) const {
  const ArgumentInfo info = describe(*option);
  return info.default_value.empty() ? info.text
                                    : fmt::format("{} (default {})", info.text, info.default_value);
}

void add_threads(CLI::App& app, uint32_t& thread_count, const char* help) {
  app.add_option("-T,--threads", thread_count, help)
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(0u, kThreadsMax));
}

std::string closest_word(const std::string& word, const std::vector<std::string>& known) {
  std::string closest;
  size_t shortest = kDistanceMax + 1;
  for (const std::string& candidate : known) {
    const size_t distance = distance_between(word, candidate);
    if (distance >= shortest) continue;
    shortest = distance;
    closest = candidate;
  }
  return closest;
}

}  // namespace tintype::command
