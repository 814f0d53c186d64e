#include "io/archive/compressed_faults.h"

#include <fmt/format.h>

#include "io/archive/compressed_form.h"
#include "io/archive/damage_remedy.h"

namespace tintype {

Status damaged_file(std::string_view name, std::string_view what) {
  return with_damage_remedy(Status::corruption(fmt::format("'{}' {}", name, what)));
}

Status newer_planes_form(std::string_view name, uint32_t version) {
  return Status::unsupported(
      fmt::format("'{}' has version {} of the planes form, and this program reads {}: read it with "
                  "a newer one",
                  name, version, kPlanesVersion));
}

}  // namespace tintype
