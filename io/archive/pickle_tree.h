// What a pickle describes, as plain values: nothing of it was executed. Calls and classes that
// the pickle asks for stand here as nodes that show their names. What the value is does not hang on
// the protocol: bytes and sets are that, also where an early protocol makes them by a call.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/bytes.h"
#include "base/check.h"

namespace tintype {

enum class PickleKind : uint8_t {
  none,
  boolean,
  integer,      // fits int64_t
  big_integer,  // bytes(): little-endian two's complement
  real,
  text,  // UTF-8, lone surrogates as three bytes; hostile files may hold anything
  bytes,
  bytearray,
  global,  // text(): "module.name", Python 3's module names
  // All above hold no other value.
  tuple,
  list,
  set,
  frozenset,
  dict,        // items(): key, value, key, value, ...
  call,        // callee(arguments) (REDUCE, NEWOBJ), with items and states that came later
  persistent,  // argument(): the id; torch's storages
};

std::string_view to_string(PickleKind kind);

// Names a value of one tree. Values form a graph: shared ones are shared, and containers may hold
// themselves, so whoever walks it must mark where it has been.
using ValueId = uint32_t;

// Immutable once read. Holds the pickle's bytes; views it returns live as long as it.
class PickleTree {
 public:
  ValueId root() const { return root_; }
  size_t value_count() const { return nodes_.size(); }
  // Of all containers together.
  size_t item_count() const { return item_count_; }
  size_t pickle_bytes() const { return pickle_.size(); }

  PickleKind kind(ValueId value) const { return nodes_[value].kind; }
  bool boolean(ValueId value) const { return integer(value) != 0; }
  int64_t integer(ValueId value) const { return nodes_[value].scalar.integer; }
  double real(ValueId value) const { return nodes_[value].scalar.real; }
  // Of text, bytes, bytearray, big_integer and global.
  std::string_view text(ValueId value) const {
    const Node& node = nodes_[value];
    return {node.scalar.characters, node.length};
  }

  // The members of tuple, list, set, frozenset, dict. Of a call: what was put into its result, as
  // pairs for SETITEM (has_pairs) or one by one for APPEND.
  std::span<const ValueId> items(ValueId value) const {
    const uint32_t index = nodes_[value].items;
    return index == 0 ? std::span<const ValueId>() : std::span(lists_[index]);
  }
  bool has_pairs(ValueId value) const { return nodes_[value].has_pairs; }
  // What BUILD handed to the value (a state dict, say), in order; mostly none or one.
  std::span<const ValueId> states(ValueId value) const {
    const auto found = states_.find(value);
    return found == states_.end() ? std::span<const ValueId>() : std::span(found->second);
  }

  // Of a call.
  ValueId callee(ValueId value) const { return nodes_[value].scalar.pair[0]; }
  // Of a call: a tuple, in a sound pickle. Of a persistent: the id.
  ValueId argument(ValueId value) const { return nodes_[value].scalar.pair[1]; }
  // The text of the global that a call calls; empty where it calls something else.
  std::string_view callee_name(ValueId value) const {
    const ValueId called = callee(value);
    return kind(called) == PickleKind::global ? text(called) : std::string_view();
  }
  bool is_text(ValueId value) const { return kind(value) == PickleKind::text; }

 private:
  friend class PickleBuilder;

  struct Node {
    union {
      int64_t integer;
      double real;
      const char* characters;  // with length
      ValueId pair[2];         // call: callee and argument; persistent: [1] is the id
    } scalar{};
    uint32_t length = 0;
    uint32_t items = 0;  // into lists_; 0: none
    PickleKind kind = PickleKind::none;
    bool has_pairs = false;
    uint32_t depth = 0;  // of containers at and below it, when it was put together
  };
  static_assert(sizeof(Node) == 24);  // there are millions

  ByteVector pickle_;
  std::deque<std::string> strings_;  // texts that do not lie in the pickle
  std::vector<Node> nodes_;
  std::vector<std::vector<ValueId>> lists_{1};
  std::unordered_map<ValueId, std::vector<ValueId>> states_;
  size_t item_count_ = 0;
  ValueId root_ = 0;
};

}  // namespace tintype
