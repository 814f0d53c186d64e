#include "tools/command/file_names.h"

namespace tintype::command {

std::string refuse_stream(const std::string& name) {
  if (name != "-") return "";
  return "- is standard input, and this command reads files only, as it needs any place of them; "
         "save the stream to a file first, or name a file that is called so ./-";
}

}  // namespace tintype::command
