// The command's arguments as plain data, read from CLI11's own objects: what completions and the
// manual are made of, so that they cannot fall behind.
#pragma once

#include <string>
#include <vector>

#include <CLI/App.hpp>

namespace tintype::command {

struct ArgumentInfo {
  std::vector<std::string> names;    // "-q", "--quiet"; a positional's one name: "FILE"
  std::string text;                  // one line
  std::string value;                 // what follows it: "N", "FILE"; empty for a flag
  std::vector<std::string> choices;  // where only these are taken
  std::string default_value;
  bool is_required = false;
  bool is_repeated = false;  // takes several values
};

struct CommandInfo {
  std::string name;
  std::string summary;  // one line
  std::string text;     // "Examples:", an empty line, what it does
  std::vector<ArgumentInfo> options;
  std::vector<ArgumentInfo> positionals;
  std::vector<CommandInfo> commands;
};

ArgumentInfo describe(const CLI::Option& option);
CommandInfo describe(const CLI::App& app);

// Whether a value is a path, and of what: by the name that help shows for it.
bool is_file(const std::string& value_name);
bool is_directory(const std::string& value_name);

}  // namespace tintype::command
