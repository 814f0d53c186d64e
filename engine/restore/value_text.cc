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

std::string_view without_builtins(std::string_view name) {
  constexpr std::string_view kBuiltins = "builtins.";
  return name.substr(name.starts_with(kBuiltins) ? kBuiltins.size() : 0);
}

std::string escaped(char c, char quote, bool is_text) {
  const auto byte = static_cast<unsigned char>(c);
  if (c == quote || c == '\\') return {'\\', c};
  if (c == '\n') return "\\n";
  if (c == '\r') return "\\r";
  if (c == '\t') return "\\t";
  if (byte < 0x20 || byte == 0x7F || (byte > 0x7F && !is_text))
    return fmt::format("\\x{:02x}", byte);
  return {c};
}

// In quotes, control characters escaped: a hostile text must not steer a terminal. Of bytes also
// what is beyond ASCII.
std::string quoted(std::string_view text, bool is_text) {
  const std::string_view shown =
      is_text ? cut(text, kShownTextBytes) : text.substr(0, kShownTextBytes);
  const auto has = [&](char c) { return shown.find(c) != std::string_view::npos; };
  const char quote = has('\'') && !has('"') ? '"' : '\'';
  std::string result = is_text ? "" : "b";
  result += quote;
  for (const char c : shown) result += escaped(c, quote, is_text);
  result += quote;
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

// Of a little-endian two's complement; in decimal, which takes the square of its length.
std::string big_integer_text(std::string_view bytes) {
  if (bytes.size() > kShownIntegerBytes) return fmt::format("int of {} bytes", bytes.size());
  std::vector<unsigned> digits(bytes.rbegin(), bytes.rend());  // to the base 256, highest first
  const bool is_negative = !bytes.empty() && (bytes.back() & '\x80') != 0;
  unsigned carry = 1;  // of the negation
  for (size_t i = digits.size(); i-- > 0;) {
    digits[i] &= 0xFFu;
    if (!is_negative) continue;
    carry += ~digits[i] & 0xFFu;
    digits[i] = carry & 0xFFu;
    carry >>= 8;
  }
  constexpr uint64_t kDigits = 1'000'000'000;  // as many as fit a step
  std::string text;
  while (std::any_of(digits.begin(), digits.end(), [](unsigned digit) { return digit != 0; })) {
    uint64_t rest = 0;
    for (unsigned& digit : digits) {
      rest = rest << 8 | digit;
      digit = static_cast<unsigned>(rest / kDigits);
      rest %= kDigits;
    }
    text.insert(0, fmt::format("{:09}", rest));
  }
  text.erase(0, text.find_first_not_of('0'));
  return text.empty() ? "0" : (is_negative ? "-" : "") + text;
}

std::optional<std::string> scalar_text(const PickleTree& tree, ValueId value) {
  switch (tree.kind(value)) {
    case PickleKind::none: return "None";
    case PickleKind::boolean: return tree.boolean(value) ? "True" : "False";
    case PickleKind::integer: return std::to_string(tree.integer(value));
    case PickleKind::big_integer: return big_integer_text(tree.text(value));
    case PickleKind::real: return real_text(tree.real(value));
    case PickleKind::text: return quoted(tree.text(value), true);
    case PickleKind::bytes: return quoted(tree.text(value), false);
    case PickleKind::bytearray:
      return fmt::format("bytearray({})", quoted(tree.text(value), false));
    case PickleKind::global: return std::string(cut(tree.text(value), kShownTextBytes));
    default: return std::nullopt;
  }
}

// "1, 2, 3", cut.
std::string members_text(const PickleTree& tree, std::span<const ValueId> members) {
  std::string text;
  for (size_t i = 0; i < std::min(members.size(), kShownItems); ++i) {
    if (i != 0) text += ", ";
    text += *scalar_text(tree, members[i]);
  }
  return members.size() > kShownItems ? text + ", …" : text;
}

// As Python shows a class that stands for itself.
std::string option_text(const PickleTree& tree, ValueId option) {
  const auto text = scalar_text(tree, option);
  if (!text.has_value()) return "…";
  if (tree.kind(option) != PickleKind::global) return *text;
  return fmt::format("<class '{}'>", without_builtins(*text));
}

// As Python shows it, around the members as they are shown.
std::string container_text(const PickleTree& tree, const Container& container,
                           const std::string& members) {
  const std::string_view type = container.type;
  if (type == "list") return fmt::format("[{}]", members);
  if (type == "tuple") return fmt::format("({})", members);
  if (type == "dict" || (type == "set" && !members.empty())) return fmt::format("{{{}}}", members);
  const std::string_view name = type.substr(type.rfind('.') + 1);
  const auto option = container.option.has_value() ? option_text(tree, *container.option) : "None";
  if (name == "defaultdict") return fmt::format("defaultdict({}, {{{}}})", option, members);
  if (name == "deque") {
    return fmt::format("deque([{}]{})", members, container.option ? ", maxlen=" + option : "");
  }
  return members.empty() ? fmt::format("{}()", name) : fmt::format("{}({{{}}})", name, members);
}

// Empty ones, sets and sequences of scalars.
std::optional<std::string> value_text_of(const PickleTree& tree, const Container& container) {
  const auto members = container.members(tree);
  if (members.empty()) return container_text(tree, container, "");
  if (!container.is_set() && !container.is_sequence()) return std::nullopt;
  if (!are_scalars(tree, members)) {
    return container.is_set() ? std::optional(container_text(tree, container, "…")) : std::nullopt;
  }
  const bool is_single = container.type == "tuple" && members.size() == 1;
  std::string text =
      container_text(tree, container, members_text(tree, members) + (is_single ? "," : ""));
  if (members.size() > kShownItems) text += fmt::format(" ({} items)", members.size());
  return text;
}

std::string complex_text(double real, double imaginary) {
  const auto unsigned_nan = [](double part) { return std::isnan(part) ? std::abs(part) : part; };
  const std::string tail = fmt::format("{:+}j", unsigned_nan(imaginary));
  if (real == 0 && !std::signbit(real)) return tail.substr(tail.front() == '+' ? 1 : 0);
  return fmt::format("({}{})", unsigned_nan(real), tail);
}

using Arguments = std::span<const ValueId>;

std::optional<std::string> torch_size_text(const PickleTree& tree, Arguments arguments) {
  if (arguments.size() != 1) return std::nullopt;
  const auto sizes = tree.items(arguments[0]);
  if (!are_scalars(tree, sizes)) return std::nullopt;
  return fmt::format("torch.Size([{}])", members_text(tree, sizes));
}

std::optional<std::string> device_text(const PickleTree& tree, Arguments arguments) {
  if (arguments.empty() || arguments.size() > 2 || !are_scalars(tree, arguments))
    return std::nullopt;
  const std::string index =
      arguments.size() == 2 ? ", index=" + *scalar_text(tree, arguments[1]) : "";
  return fmt::format("device(type={}{})", *scalar_text(tree, arguments[0]), index);
}

// Python leaves out a step of 1.
std::optional<std::string> range_text(const PickleTree& tree, Arguments arguments) {
  if (arguments.size() != 3 || !are_scalars(tree, arguments)) return std::nullopt;
  const bool is_by_one =
      tree.kind(arguments[2]) == PickleKind::integer && tree.integer(arguments[2]) == 1;
  return fmt::format("range({})", members_text(tree, arguments.first(is_by_one ? 2 : 3)));
}

// Of calls whose result is a plain value.
std::optional<std::string> call_text(const PickleTree& tree, ValueId call) {
  const std::string_view callee = tree.callee_name(call);
  const Arguments arguments = tree.items(tree.argument(call));
  if (const auto number = complex_of(tree, call); number.has_value()) {
    return complex_text(number->real(), number->imag());
  }
  if (callee == "torch.device") return device_text(tree, arguments);
  if (callee == "torch.Size") return torch_size_text(tree, arguments);
  if (callee == "builtins.range") return range_text(tree, arguments);
  return std::nullopt;
}

}  // namespace

bool are_scalars(const PickleTree& tree, std::span<const ValueId> values) {
  return std::all_of(values.begin(), values.end(),
                     [&](ValueId value) { return tree.kind(value) < PickleKind::tuple; });
}

std::optional<std::complex<double>> complex_of(const PickleTree& tree, ValueId value) {
  if (tree.kind(value) != PickleKind::call) return std::nullopt;
  const Arguments parts = tree.items(tree.argument(value));
  if (tree.callee_name(value) != "builtins.complex" || parts.size() != 2) return std::nullopt;
  const auto is_real = [&](ValueId part) { return tree.kind(part) == PickleKind::real; };
  if (!std::all_of(parts.begin(), parts.end(), is_real)) return std::nullopt;
  return std::complex(tree.real(parts[0]), tree.real(parts[1]));
}

std::optional<ValueEntry> value_entry(const PickleTree& tree, ValueId value) {
  const PickleKind kind = tree.kind(value);
  ValueEntry entry;
  std::optional<std::string> text;
  if (const auto container = container_of(tree, value); container.has_value()) {
    entry.type = container->type;
    text = value_text_of(tree, *container);
  } else if (kind == PickleKind::call) {
    entry.type = without_builtins(tree.callee_name(value));
    text = call_text(tree, value);
  } else {
    entry.type = to_string(kind);
    text = scalar_text(tree, value);
  }
  if (!text.has_value()) return std::nullopt;
  entry.text = std::move(*text);
  if (kind == PickleKind::global) {
    const bool is_dtype = element_type_of_dtype(tree.text(value)).has_value();
    entry.type = is_dtype ? "torch.dtype" : "global";
    entry.is_opaque = !is_dtype;
  }
  return entry;
}

ValueEntry container_entry(const PickleTree& tree, const Container& container) {
  ValueEntry entry;
  entry.type = container.type;
  entry.text = container_text(tree, container, "…");
  return entry;
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
