// Containers that a pickle describes, whether by opcodes or by a call of their class.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "io/archive/pickle_tree.h"

namespace tintype {

// A tuple, list, set, frozenset or dict, an OrderedDict, defaultdict, Counter or deque: what holds
// nothing but its members.
struct Container {
  std::string_view type;          // "list", "collections.OrderedDict"
  ValueId holder = 0;             // the value whose items are the members: itself, or an argument
  std::optional<ValueId> option;  // the factory of a defaultdict, the length limit of a deque

  std::span<const ValueId> members(const PickleTree& tree) const { return tree.items(holder); }
  // Sets have no order.
  bool is_set() const { return type == "set" || type == "frozenset"; }
  bool is_sequence() const { return type == "tuple" || type == "list"; }
};

// nullopt for anything else. The result's texts live as long as the tree.
std::optional<Container> container_of(const PickleTree& tree, ValueId value);

}  // namespace tintype
