#include "tools/command/form.h"

#include <algorithm>
#include <cctype>

namespace tintype::command {

Status check_form(const std::string& path) {
  const std::string name = path.substr(path.find_last_of('/') + 1);
  const size_t dot = name.find_last_of('.');
  // Dots in front of a name begin no ending.
  if (dot == std::string::npos || name.find_first_not_of('.') > dot) return {};
  std::string ending = name.substr(dot);
  std::transform(ending.begin(), ending.end(), ending.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  if (ending != ".zst" && ending != ".ttz") return {};
  return Status::unsupported(
      path + ": compressed forms are not in this version; decompress it to a name in .pth first");
}

}  // namespace tintype::command
