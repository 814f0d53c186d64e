#include "io/archive/damage_remedy.h"

#include <fmt/format.h>

namespace tintype {

Status with_damage_remedy(const Status& status) {
  if (status.code() != StatusCode::corruption) return status;
  return Status::corruption(
             fmt::format("{}; {}", without_damage_remedy(status.message()), kDamageRemedy))
      .with_path(std::string(status.path()));
}

std::string without_damage_remedy(std::string_view text) {
  const std::string whole = fmt::format("; {}", kDamageRemedy);
  const std::string first_half = whole.substr(0, whole.find(','));  // all that some errors say
  for (const std::string_view remedy : {whole, first_half}) {
    if (text.ends_with(remedy)) text.remove_suffix(remedy.size());
  }
  return std::string(text);
}

}  // namespace tintype
