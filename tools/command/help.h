// How help reads: examples first, and of each subcommand one line in the list of all.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/App.hpp>
#include <CLI/Formatter.hpp>

namespace tintype::command {

// Replaces the description in an app's own help by a longer one, and shows of an option's value its
// name and default only.
class ExamplesFirst final : public CLI::Formatter {
 public:
  explicit ExamplesFirst(std::string text) : text_(std::move(text)) {}

  const std::string& text() const { return text_; }

  std::string make_description(const CLI::App*) const override { return text_ + "\n\n"; }
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override;
  std::string make_option_opts(const CLI::Option* option) const override;
  std::string make_option_desc(const CLI::Option* option) const override;

 private:
  std::string text_;
};

// The option -T of every command that has threads.
void add_threads(CLI::App& app, uint32_t& thread_count, const char* help);

// The word of `known` that `word` most likely was to be; empty where none is near.
std::string closest_word(const std::string& word, const std::vector<std::string>& known);

}  // namespace tintype::command
