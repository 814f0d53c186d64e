#include "tools/command/text.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/check.h"

namespace tintype::command {
namespace {

struct CodePoint {
  uint32_t value = 0;
  size_t length = 0;  // in bytes; 0: no UTF-8
};

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0u) == 0x80u; }

// The code point at the start of `text`, which is not empty.
CodePoint decode(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return {first, 1};
  const size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4 || text.size() < length) return {};
  uint32_t value = first & (0x7Fu >> length);
  for (const char byte : text.substr(1, length - 1)) {
    if (!is_continuation(byte)) return {};
    value = value << 6 | (static_cast<unsigned char>(byte) & 0x3Fu);
  }
  const bool is_overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  const bool is_surrogate = value >= 0xD800 && value <= 0xDFFF;
  return is_overlong || is_surrogate || value > 0x10FFFF ? CodePoint{} : CodePoint{value, length};
}

bool needs_escape(uint32_t value) {
  const bool is_control = value < 0x20 || (value >= 0x7F && value < 0xA0);
  const bool turns_direction = value == 0x061C || value == 0x200E || value == 0x200F ||
                               (value >= 0x2028 && value <= 0x202E) ||
                               (value >= 0x2066 && value <= 0x2069);
  return is_control || turns_direction;
}

// In characters; that some take two cells only shifts what is right of them.
size_t width_of(std::string_view text) {
  return text.size() -
         static_cast<size_t>(std::count_if(text.begin(), text.end(), is_continuation));
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result;
  while (!text.empty()) {
    const CodePoint point = decode(text);
    const size_t length = std::max<size_t>(point.length, 1);
    if (point.length == 0) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned char>(text.front()));
    } else if (needs_escape(point.value)) {
      result += point.value < 0x100 ? fmt::format("\\x{:02x}", point.value)
                                    : fmt::format("\\u{:04x}", point.value);
    } else {
      result += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return result;
}

std::string shape_text(const std::vector<uint64_t>& shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::string grouped(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t place = digits.size(); place > 3;) digits.insert(place -= 3, ",");
  return digits;
}

void Table::add(std::vector<std::string> cells) {
  TINTYPE_CHECK(cells.size() == columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text(std::string_view indent) const {
  std::vector<size_t> widths(columns_.size());
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], width_of(row[i]));
  }
  std::string result;
  for (const auto& row : rows_) {
    std::string line(indent);
    for (size_t i = 0; i < row.size(); ++i) {
      const std::string gap(widths[i] - width_of(row[i]), ' ');
      line += i == 0 ? "" : "  ";
      line += columns_[i] == Align::right ? gap + row[i] : row[i] + gap;
    }
    line.erase(line.find_last_not_of(' ') + 1);
    result += line + "\n";
  }
  return result;
}

}  // namespace tintype::command
