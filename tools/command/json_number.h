// Numbers in the JSON that commands print.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace tintype::command {

// JSON has no number for NaN and the infinities: they are told as text.
nlohmann::ordered_json number_to_json(double value);

}  // namespace tintype::command
