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

std::optional<std::string_view> PickleBuilder::latin1_of(ValueId text) {
  const auto [found, is_new] = latin1_.try_emplace(text);
  if (is_new) {
    if (auto bytes = latin1_bytes(tree_.text(text)); bytes.has_value()) {
      found->second = tree_.strings_.emplace_back(std::move(*bytes));
    }
  }
  return found->second;
}

std::optional<PickleTree::Node> PickleBuilder::bytes_of(PickleKind kind,
                                                        std::span<const ValueId> arguments) {
  std::optional<std::string_view> bytes;
  if (arguments.empty()) bytes = "";
  if (arguments.size() == 1 && tree_.kind(arguments[0]) == PickleKind::bytes) {
    bytes = tree_.text(arguments[0]);
  }
  if (arguments.size() == 2 && tree_.is_text(arguments[0]) && tree_.is_text(arguments[1])) {
    const std::string_view encoding = tree_.text(arguments[1]);
    if (encoding == "latin1" || encoding == "latin-1") bytes = latin1_of(arguments[0]);
  }
  if (!bytes.has_value()) return std::nullopt;
  Node node;
  node.kind = kind;
  node.scalar.characters = bytes->data();
  node.length = static_cast<uint32_t>(bytes->size());
  return node;
}

std::optional<PickleTree::Node> PickleBuilder::set_of_list(PickleKind kind,
                                                           std::span<const ValueId> arguments) {
  Node node;
  node.kind = kind;
  if (arguments.empty()) return node;
  const Node& list = tree_.nodes_[arguments[0]];
  if (arguments.size() > 1 || list.kind != PickleKind::list) return std::nullopt;
  if (!lists_of_sets_.insert(arguments[0]).second) return std::nullopt;
  node.items = list.items;
  node.depth = list.depth;
  return node;
}

// bytes have one from protocol 3 on, sets from 4 on, bytearrays from 5 on.
std::optional<PickleTree::Node> PickleBuilder::value_of_call(ValueId callee, ValueId arguments) {
  if (tree_.kind(callee) != PickleKind::global) return std::nullopt;
  const std::string_view name = tree_.text(callee);
  const auto given = tree_.items(arguments);
  if (name == "builtins.set") return set_of_list(PickleKind::set, given);
  if (name == "builtins.frozenset") return set_of_list(PickleKind::frozenset, given);
  if (name == "builtins.bytearray") return bytes_of(PickleKind::bytearray, given);
  const bool is_encoded = name == "_codecs.encode" && given.size() == 2;
  const bool is_empty = name == "builtins.bytes" && given.empty();
  return is_encoded || is_empty ? bytes_of(PickleKind::bytes, given) : std::nullopt;
}

}  // namespace tintype
