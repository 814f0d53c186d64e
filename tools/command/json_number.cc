#include "tools/command/json_number.h"

#include <cmath>

#include <nlohmann/json.hpp>

namespace tintype::command {

nlohmann::ordered_json number_to_json(double value) {
  if (std::isfinite(value)) return value;
  return std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf";
}

}  // namespace tintype::command
