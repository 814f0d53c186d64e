#include "engine/restore/container.h"

#include <algorithm>
#include <array>

namespace tintype {
namespace {

constexpr std::array<std::string_view, 4> kCalledClasses = {
    "collections.OrderedDict", "collections.defaultdict", "collections.Counter",
    "collections.deque"};

bool is_plain(PickleKind kind) {
  return kind == PickleKind::tuple || kind == PickleKind::list || kind == PickleKind::set ||
         kind == PickleKind::frozenset || kind == PickleKind::dict;
}

// Members come as an argument, or are put into the result; a class that gets both is taken for an
// object, so that none of them is overlooked.
std::optional<Container> called_container(const PickleTree& tree, ValueId call) {
  const std::string_view callee = tree.callee_name(call);
  if (std::find(kCalledClasses.begin(), kCalledClasses.end(), callee) == kCalledClasses.end()) {
    return std::nullopt;
  }
  Container container{.type = callee, .holder = call};
  for (const ValueId argument : tree.items(tree.argument(call))) {
    if (!is_plain(tree.kind(argument))) {
      if (container.option.has_value()) return std::nullopt;
      container.option = argument;
    } else if (!tree.items(argument).empty()) {
      if (!container.members(tree).empty()) return std::nullopt;
      container.holder = argument;
    }
  }
  return container;
}

}  // namespace

std::optional<Container> container_of(const PickleTree& tree, ValueId value) {
  const PickleKind kind = tree.kind(value);
  if (kind == PickleKind::call) return called_container(tree, value);
  if (!is_plain(kind)) return std::nullopt;
  return Container{.type = to_string(kind), .holder = value};
}

}  // namespace tintype
