// Names of temporary files: ".NAME.tintype-HOST-PID-NONCE", where NAME is the final name, so that
// whoever finds one after a crash knows whose it was and what it was to become.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace tintype {

struct TempName {
  std::string stem;  // NAME; a long one is shortened to its start and a digest
  std::string host;
};

// A new name at every call.
std::string temp_name_for(std::string_view final_name);
bool is_temp_name(std::string_view name);
// Nothing where `name` has another form.
std::optional<TempName> parse_temp_name(std::string_view name);
// What NAME is for this final name.
std::string temp_stem_for(std::string_view final_name);
// This machine's name in the form that temporary names carry.
std::string temp_host();

}  // namespace tintype
