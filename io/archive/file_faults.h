// What readers say of a file that they cannot read.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "io/archive/byte_source.h"

namespace tintype {

// corruption: "'NAME' WHAT", and what to do.
Status damaged_file(std::string_view name, std::string_view what);

// corruption where nothing is left to read of a file object.
Status check_not_at_end(const ByteSource& source);

// corruption where a file is shorter than any of the compressed form that its name asks for: cut
// off before its magic number ends, it may look like anything.
Status check_not_cut_short(const ByteSource& source);

// unsupported, for a sound head of the planes form with another version than kPlanesVersion.
Status newer_planes_form(std::string_view name, uint32_t version);

}  // namespace tintype
