#include "io/archive/file_faults.h"

#include <fmt/format.h>

#include "io/archive/compressed_form.h"

namespace tintype {

Status damaged_file(std::string_view name, std::string_view what) {
  return Status::corruption(fmt::format("'{}' {}", name, what)).with_path(std::string(name));
}

Status newer_planes_form(std::string_view name, uint32_t version) {
  return Status::unsupported(
      fmt::format("'{}' has version {} of the planes form, and this program reads {}", name,
                  version, kPlanesVersion),
      "read it with a newer one");
}

}  // namespace tintype
