#include "tests/support/protocol_step.h"

#include <map>
#include <string_view>

#include "io/disk/temp_names.h"

namespace tintype {

std::string protocol_step(const FaultInjector::Operation& operation) {
  static const std::map<std::string, std::string, std::less<>> steps = {
      {"available_bytes", "1 space"},
      {"create_unnamed", "2 temp"},
      {"create", "2 temp"},
      {"try_lock", "2 temp"},
      {"allocate", "3 allocate"},
      {"write_at", "4 write"},
      {"truncate", "5 size"},
      {"set_mode", "5 size"},
      {"sync_data", "6 fdatasync"},
      {"link_unnamed", "8a link"},
      {"exchange", "8b rename"},
      {"link", "10 best, last"},
      {"clone_from", "10 best, last"},
      {"sync", "9a, 11 directory fsync"}};
  const std::string name = operation.path.substr(operation.path.rfind('/') + 1);
  if (operation.name == "remove") return is_temp_name(name) ? "9b replaced" : "12 evict";
  if (operation.name == "rename") {
    if (name.ends_with(".json")) return "11 index, metrics";
    const bool is_link = name.starts_with("best") || name.starts_with("last");
    return is_link ? "10 best, last" : "8b rename";
  }
  const auto step = steps.find(operation.name);
  return step == steps.end() ? "looking" : step->second;
}

}  // namespace tintype
