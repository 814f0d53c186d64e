// What to do about a damaged file, said once at the end of an error's text.
#pragma once

#include <string>
#include <string_view>

#include "base/status.h"

namespace tintype {

inline constexpr std::string_view kDamageRemedy =
    "copy or download it again, or load an older checkpoint";

// Corruption whose text ends with the remedy; any other status as it is.
Status with_damage_remedy(const Status& status);

// For a report, or a note that says itself how it goes on.
std::string without_damage_remedy(std::string_view text);

}  // namespace tintype
