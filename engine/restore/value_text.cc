#include "engine/restore/value_text.h"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "io/archive/tensor_types.h"

namespace tintype {
namespace {

// At most `limit_bytes` of it, cut between characters.
std::string_view cut(std::string_view text, size_t limit_bytes) {
  if (text.size() <= limit_bytes) return text;
  while (limit_bytes > 0 && (static_cast<unsigned char>(text[limit_bytes]) & 0xC0u) == 0x80u) {
    --limit_bytes;
  }
  return text.substr(0, limit_bytes);
}

// In quotes, control characters escaped: a hostile text must not steer a terminal.
std::string quoted(std::string_view text) {
  const std::string_view shown = cut(text, kShownTextBytes);
  std::string result = "'";
  for (const char c : shown) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '\'' || c == '\\') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else if (byte < 0x20 || byte == 0x7F) {
      result += fmt::format("\\x{:02x}", byte);
    } else {
      result += c;
    }
  }
  result += '\'';
  if (shown.size() < text.size()) result += fmt::format("… ({} bytes)", text.size());
  return result;
}

std::string real_text(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  std::string text = fmt::format("{}", value);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

std::string big_integer_text(std::string_view digits) {
  constexpr size_t kShownDigits = 32;
  const bool is_cut = digits.size() > kShownDigits;
  std::string text = "0x";
  const std::string_view shown = is_cut ? digits.substr(digits.size() - kShownDigits) : digits;
  for (size_t i = shown.size(); i-- > 0;) {
    text += fmt::format("{:02x}", static_cast<unsigned char>(shown[i]));
  }
  return is_cut ? fmt::format("{}… ({} bytes)", text, digits.size()) : text;
}

std::optional<std::string> scalar_text(const PickleTree& tree, ValueId value) {
  switch (tree.kind(value)) {
    case PickleKind::none: return "None";
    case PickleKind::boolean: return tree.boolean(value) ? "True" : "False";
    case PickleKind::integer: return std::to_string(tree.integer(value));
    case PickleKind::big_integer: return big_integer_text(tree.text(value));
    case PickleKind::real: return real_text(tree.real(value));
    case PickleKind::text: return quoted(tree.text(value));
    case PickleKind::bytes:
    case PickleKind::bytearray: return fmt::format("{} bytes", tree.text(value).size());
    case PickleKind::global: return std::string(cut(tree.text(value), kShownTextBytes));
    default: return std::nullopt;
  }
}

bool is_sequence(PickleKind kind) {
  return kind == PickleKind::tuple || kind == PickleKind::list || kind == PickleKind::set ||
         kind == PickleKind::frozenset;
}

// "[1, 2, 3]"; nullopt if a member is no scalar.
std::optional<std::string> sequence_text(const PickleTree& tree, PickleKind kind,
                                         std::span<const ValueId> items) {
  const auto is_scalar = [&](ValueId item) {
    const PickleKind member = tree.kind(item);
    return !is_sequence(member) && member != PickleKind::dict && member != PickleKind::call &&
           member != PickleKind::persistent;
  };
  if (!std::all_of(items.begin(), items.end(), is_scalar)) return std::nullopt;
  const std::string_view brackets = kind == PickleKind::list    ? "[]"
                                    : kind == PickleKind::tuple ? "()"
                                                                : "{}";
  std::string text(1, brackets[0]);
  for (size_t i = 0; i < std::min(items.size(), kShownItems); ++i) {
    if (i != 0) text += ", ";
    text += *scalar_text(tree, items[i]);
  }
  if (kind == PickleKind::tuple && items.size() == 1) text += ',';
  if (items.size() > kShownItems) text += ", …";
  text += brackets[1];
  if (items.size() > kShownItems) text += fmt::format(" ({} items)", items.size());
  return text;
}

// Calls whose result is a plain value.
std::optional<ValueEntry> plain_call(const PickleTree& tree, ValueId call) {
  const std::string_view callee = tree.callee_name(call);
  const auto arguments = tree.items(tree.argument(call));
  ValueEntry entry;
  if (callee != "torch.device" && callee != "builtins.complex" && callee != "torch.Size") {
    return std::nullopt;
  }
  entry.type =
      callee.substr(callee.starts_with("builtins.") ? std::string_view("builtins.").size() : 0);
  entry.text = sequence_text(tree, PickleKind::tuple, arguments).value_or("(…)");
  if (callee == "torch.Size" && arguments.size() == 1) {
    entry.text = sequence_text(tree, PickleKind::list, tree.items(arguments[0])).value_or("[…]");
  }
  return entry;
}

}  // namespace

std::optional<ValueEntry> value_entry(const PickleTree& tree, ValueId value) {
  const PickleKind kind = tree.kind(value);
  ValueEntry entry;
  entry.type = to_string(kind);
  if (auto text = scalar_text(tree, value); text.has_value()) {
    entry.text = std::move(*text);
    if (kind == PickleKind::global) {
      const bool is_dtype = element_type_of_dtype(tree.text(value)).has_value();
      entry.type = is_dtype ? "torch.dtype" : "global";
      entry.is_opaque = !is_dtype;
    }
    return entry;
  }
  if (is_sequence(kind)) {
    auto text = sequence_text(tree, kind, tree.items(value));
    if (!text.has_value()) return std::nullopt;
    entry.text = std::move(*text);
    return entry;
  }
  if (kind == PickleKind::dict && tree.items(value).empty()) {
    entry.text = "{}";
    return entry;
  }
  return kind == PickleKind::call ? plain_call(tree, value) : std::nullopt;
}

std::string key_text(const PickleTree& tree, ValueId key) {
  if (tree.is_text(key)) return std::string(tree.text(key));
  const auto entry = value_entry(tree, key);
  return entry.has_value() ? entry->text : fmt::format("<{}>", to_string(tree.kind(key)));
}

std::string type_name(const PickleTree& tree, ValueId call) {
  // copyreg's two ways of making an object name its class first; so does torch's for subclasses.
  std::string_view name = tree.callee_name(call);
  const auto arguments = tree.items(tree.argument(call));
  if ((name == "copyreg._reconstructor" || name == "copyreg.__newobj__") && !arguments.empty() &&
      tree.kind(arguments[0]) == PickleKind::global) {
    name = tree.text(arguments[0]);
  }
  return std::string(name.empty() ? "?" : cut(name, kShownTextBytes));
}

}  // namespace tintype
