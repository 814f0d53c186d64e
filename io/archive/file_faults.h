// What readers say of a file that they cannot read.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace tintype {

// corruption: "'NAME' WHAT", and what to do.
Status damaged_file(std::string_view name, std::string_view what);

// unsupported, for a sound head of the planes form with another version than kPlanesVersion.
Status newer_planes_form(std::string_view name, uint32_t version);

}  // namespace tintype
