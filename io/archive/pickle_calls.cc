// Of PickleBuilder: calls by which early protocols make what later ones have an opcode for.
#include "io/archive/pickle_builder.h"

namespace tintype {
namespace {

// bytes of protocol 2 are the text of their Latin-1 characters. nullopt for any other text.
std::optional<std::string> latin1_bytes(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto lead = static_cast<unsigned char>(text[i]);
    if (lead < 0x80) {
      bytes += text[i];
      continue;
    }
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[++i]) : 0u;
    if ((lead != 0xC2 && lead != 0xC3) || (next & 0xC0u) != 0x80) return std::nullopt;
    bytes += static_cast<char>((lead & 3u) << 6 | (next & 0x3Fu));
  }
  return bytes;
}

}  // namespace

std::optional<PickleBuilder::Node> PickleBuilder::bytes_of(PickleKind kind, ValueId argument) {
  std::string_view bytes = tree_.text(argument);
  if (tree_.is_text(argument)) {
    auto decoded = latin1_bytes(bytes);
    if (!decoded.has_value()) return std::nullopt;
    bytes = tree_.strings_.emplace_back(std::move(*decoded));
  }
  Node node;
  node.kind = kind;
  node.scalar.characters = bytes.data();
  node.length = static_cast<uint32_t>(bytes.size());
  return node;
}

std::optional<PickleBuilder::Node> PickleBuilder::set_of(PickleKind kind, ValueId list) {
  Node node;
  node.kind = kind;
  node.items = tree_.nodes_[list].items;
  node.depth = tree_.nodes_[list].depth;
  return node;
}

// bytes have an opcode from protocol 3 on, sets from 4 on, bytearrays from 5 on.
std::optional<PickleKind> PickleBuilder::kind_of_call(std::string_view callee,
                                                      std::span<const ValueId> arguments) const {
  const bool is_decoded =
      arguments.size() == 2 && tree_.is_text(arguments[0]) && tree_.is_text(arguments[1]) &&
      (tree_.text(arguments[1]) == "latin1" || tree_.text(arguments[1]) == "latin-1");
  const auto is_one = [&](PickleKind kind) {
    return arguments.size() == 1 && tree_.kind(arguments[0]) == kind;
  };
  if (callee == "_codecs.encode" && is_decoded) return PickleKind::bytes;
  if (callee == "builtins.bytes" && arguments.empty()) return PickleKind::bytes;
  const bool has_items = arguments.empty() || is_one(PickleKind::list);
  if (callee == "builtins.set" && has_items) return PickleKind::set;
  if (callee == "builtins.frozenset" && has_items) return PickleKind::frozenset;
  const bool has_bytes = arguments.empty() || is_one(PickleKind::bytes) || is_decoded;
  if (callee == "builtins.bytearray" && has_bytes) return PickleKind::bytearray;
  return std::nullopt;
}

Result<std::optional<ValueId>> PickleBuilder::value_of_call(ValueId callee, ValueId arguments) {
  const std::optional<ValueId> none;
  if (tree_.kind(callee) != PickleKind::global) return none;
  const auto given = tree_.items(arguments);
  const auto kind = kind_of_call(tree_.text(callee), given);
  if (!kind.has_value()) return none;
  const bool is_set = *kind == PickleKind::set || *kind == PickleKind::frozenset;
  if (given.empty()) {
    Node node;
    node.kind = *kind;
    node.scalar.characters = "";
    TINTYPE_ASSIGN_OR_RETURN(const ValueId value, add(node));
    return std::optional(value);
  }
  const auto [found, is_new] = made_.try_emplace({given[0], *kind}, kNoValue);
  if (is_new) {
    const auto node = is_set ? set_of(*kind, given[0]) : bytes_of(*kind, given[0]);
    if (node.has_value()) {
      TINTYPE_ASSIGN_OR_RETURN(found->second, add(*node));
    }
  }
  return found->second == kNoValue ? none : std::optional(found->second);
}

}  // namespace tintype
