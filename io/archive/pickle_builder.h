// The values and the stack of a pickle that is being read: what opcodes do, without their bytes.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/pickle_tree.h"
#include "io/archive/read_limits.h"

namespace tintype {

// Internal to read_pickle. Every operation adds at most one value, so memory is bounded by the
// pickle's size; none recurses. An operation that finds too little on the stack, or the wrong kind
// there, is corruption with the offset of its opcode.
class PickleBuilder {
 public:
  PickleBuilder(ByteVector pickle, const ReadLimits& limits);

  ByteView pickle() const { return tree_.pickle_; }
  void begin_opcode(size_t offset) { opcode_offset_ = offset; }
  Status broken(std::string_view what) const;

  Status push_none() { return push_shared(none_, PickleKind::none, 0); }
  Status push_boolean(bool value) {
    return push_shared(booleans_[value ? 1 : 0], PickleKind::boolean, value ? 1 : 0);
  }
  Status push_integer(int64_t value);
  Status push_real(double value);
  // text, bytes, bytearray, big_integer: a view of pickle().
  Status push_text(PickleKind kind, std::string_view text);
  // A class or function by name; the same one gives the same value.
  Status push_global(std::string_view module, std::string_view name);
  // The two texts on top.
  Status push_stack_global();

  Status mark();
  Status push_empty(PickleKind container);
  // All above the last mark.
  Status push_marked(PickleKind container);
  // The topmost `count`.
  Status push_short_tuple(size_t count);
  // Puts the topmost `count` values, or all above the mark, into the container below them: a `kind`
  // or the result of a call.
  Status add_items(size_t count, PickleKind kind);
  Status add_marked_items(PickleKind kind);

  Status call();
  Status call_with_keywords();
  Status build();
  Status push_persistent();

  // `read_bytes`: how much of the pickle was read. Picklers count up, so numbers stay below it.
  Status put(uint64_t memo, uint64_t read_bytes);
  Status memoize(uint64_t read_bytes) { return put(memoize_count_++, read_bytes); }
  Status get(uint64_t memo);
  Status drop();
  Status drop_to_mark();
  Status duplicate();

  // REQUIRES: no further use.
  Result<PickleTree> finish();

 private:
  using Node = PickleTree::Node;
  static constexpr ValueId kNoValue = UINT32_MAX;

  Status unbalanced() const { return broken("an opcode finds too little on the stack"); }
  Result<ValueId> add(const Node& node);
  Status push(const Node& node);
  Status push_shared(std::optional<ValueId>& shared, PickleKind kind, int64_t scalar);
  Status push_container(PickleKind kind, std::span<const ValueId> values);
  Status append_items(ValueId container, std::span<const ValueId> values);
  Status extend(std::span<const ValueId> values, PickleKind exact_kind);
  // The value that the call makes, where later protocols have an opcode for it.
  Result<std::optional<ValueId>> value_of_call(ValueId callee, ValueId arguments);
  std::optional<PickleKind> kind_of_call(std::string_view callee,
                                         std::span<const ValueId> arguments) const;
  std::optional<Node> bytes_of(PickleKind kind, ValueId argument);
  std::optional<Node> set_of(PickleKind kind, ValueId list);

  // What lies above the last mark.
  size_t available() const { return stack_.size() - (marks_.empty() ? 0 : marks_.back()); }
  std::optional<ValueId> top() const;
  std::optional<ValueId> pop();
  std::vector<ValueId> pop_many(size_t count);  // REQUIRES: count <= available()
  std::optional<std::vector<ValueId>> pop_to_mark();

  const ReadLimits& limits_;
  PickleTree tree_;
  size_t opcode_offset_ = 0;
  std::vector<ValueId> stack_;
  std::vector<size_t> marks_;  // sizes of the stack
  std::vector<ValueId> memo_;
  uint64_t memoize_count_ = 0;
  std::unordered_map<std::string, ValueId> globals_;
  // What calls made, by their argument. A pickle may use one text or list for many calls: they give
  // one value, so that what is made, and walking it, stays as small as the pickle.
  std::map<std::pair<ValueId, PickleKind>, ValueId> made_;
  std::optional<ValueId> none_, empty_tuple_;
  std::array<std::optional<ValueId>, 2> booleans_;
  std::array<std::optional<ValueId>, 256> small_integers_;
};

}  // namespace tintype
