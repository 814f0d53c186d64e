#include "tools/sizes.h"

#include <array>
#include <string_view>

#include <fmt/format.h>

namespace tintype {

std::string format_size(uint64_t size_bytes) {
  static constexpr std::array<std::string_view, 7> kUnits = {"B",   "KiB", "MiB", "GiB",
                                                             "TiB", "PiB", "EiB"};
  size_t unit = 0;
  double value = static_cast<double>(size_bytes);
  // 1023.96 would round to "1024.0".
  for (; value >= 1023.95 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  const bool is_whole = size_bytes % (uint64_t{1} << (10 * unit)) == 0;
  return fmt::format("{:.{}f} {}", value, is_whole ? 0 : 1, kUnits[unit]);
}

}  // namespace tintype
