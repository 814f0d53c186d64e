#include "io/archive/pickle_builder.h"

#include <algorithm>

#include <fmt/format.h>

namespace tintype {
namespace {

struct Renamed {
  std::string_view old_name;
  std::string_view new_name;
};

// A name is made anew for each use, out of texts that the pickle may hold once.
constexpr size_t kMaxGlobalBytes = 512;
constexpr size_t kMaxGlobals = 10'000;  // different ones; torch's files have a dozen
// Whoever walks the tree stops far earlier (ReadLimits::nesting_depth). This is for pickles made of
// nothing else, each byte of which would become a container.
constexpr uint32_t kMaxDepth = 100'000;

// Python 2's names, which protocol 2 keeps.
constexpr std::array kRenamedModules = {
    Renamed{"__builtin__", "builtins"}, Renamed{"copy_reg", "copyreg"},
    Renamed{"cPickle", "pickle"}, Renamed{"exceptions", "builtins"}};
constexpr std::array kRenamedBuiltins = {Renamed{"xrange", "range"}, Renamed{"unicode", "str"},
                                         Renamed{"long", "int"}, Renamed{"unichr", "chr"}};

}  // namespace

PickleBuilder::PickleBuilder(ByteVector pickle, const ReadLimits& limits) : limits_(limits) {
  tree_.pickle_ = std::move(pickle);
}

Status PickleBuilder::broken(std::string_view what) const {
  return Status::corruption(
      fmt::format("the pickle is damaged at byte {}: {}", opcode_offset_, what));
}

// --- values and the stack ---

Result<ValueId> PickleBuilder::add(const Node& node) {
  if (tree_.nodes_.size() >= limits_.pickle_value_count) {
    return Status::unsupported(
        fmt::format("the pickle holds more than {} values, the limit", limits_.pickle_value_count));
  }
  tree_.nodes_.push_back(node);
  return static_cast<ValueId>(tree_.nodes_.size() - 1);
}

Status PickleBuilder::push(const Node& node) {
  TINTYPE_ASSIGN_OR_RETURN(const ValueId value, add(node));
  stack_.push_back(value);
  return Status::ok();
}

std::optional<ValueId> PickleBuilder::top() const {
  return available() > 0 ? std::optional(stack_.back()) : std::nullopt;
}

std::optional<ValueId> PickleBuilder::pop() {
  const auto value = top();
  if (value.has_value()) stack_.pop_back();
  return value;
}

std::vector<ValueId> PickleBuilder::pop_many(size_t count) {
  const auto begin = stack_.end() - static_cast<std::ptrdiff_t>(count);
  std::vector<ValueId> values(begin, stack_.end());
  stack_.erase(begin, stack_.end());
  return values;
}

std::optional<std::vector<ValueId>> PickleBuilder::pop_to_mark() {
  if (marks_.empty()) return std::nullopt;
  auto values = pop_many(available());
  marks_.pop_back();
  return values;
}

// --- constants ---

Status PickleBuilder::push_shared(std::optional<ValueId>& shared, PickleKind kind, int64_t scalar) {
  if (!shared.has_value()) {
    Node node;
    node.kind = kind;
    node.scalar.integer = scalar;
    TINTYPE_ASSIGN_OR_RETURN(shared, add(node));
  }
  stack_.push_back(*shared);
  return Status::ok();
}

Status PickleBuilder::push_integer(int64_t value) {
  if (value >= 0 && static_cast<uint64_t>(value) < small_integers_.size()) {
    return push_shared(small_integers_[static_cast<size_t>(value)], PickleKind::integer, value);
  }
  Node node;
  node.kind = PickleKind::integer;
  node.scalar.integer = value;
  return push(node);
}

Status PickleBuilder::push_real(double value) {
  Node node;
  node.kind = PickleKind::real;
  node.scalar.real = value;
  return push(node);
}

Status PickleBuilder::push_text(PickleKind kind, std::string_view text) {
  if (text.size() > UINT32_MAX) return Status::unsupported("the pickle holds a text over 4 GiB");
  Node node;
  node.kind = kind;
  node.scalar.characters = text.data();
  node.length = static_cast<uint32_t>(text.size());
  return push(node);
}

Status PickleBuilder::push_global(std::string_view module, std::string_view name) {
  for (const Renamed& renamed : kRenamedModules) {
    if (module == renamed.old_name) module = renamed.new_name;
  }
  for (const Renamed& renamed : kRenamedBuiltins) {
    if (module == "builtins" && name == renamed.old_name) name = renamed.new_name;
  }
  if (module.size() + name.size() > kMaxGlobalBytes) {
    return Status::unsupported("the pickle names a class in more than 512 bytes");
  }
  const auto [found, is_new] = globals_.try_emplace(fmt::format("{}.{}", module, name), 0);
  if (!is_new) {
    stack_.push_back(found->second);
    return Status::ok();
  }
  if (globals_.size() > kMaxGlobals) {
    return Status::unsupported("the pickle names more than 10,000 classes");
  }
  tree_.strings_.push_back(found->first);
  TINTYPE_RETURN_IF_ERROR(push_text(PickleKind::global, tree_.strings_.back()));
  found->second = stack_.back();
  return Status::ok();
}

Status PickleBuilder::push_stack_global() {
  const auto name = pop();
  const auto module = pop();
  if (!name.has_value() || !module.has_value()) return unbalanced();
  if (!tree_.is_text(*name) || !tree_.is_text(*module)) return broken("a class name is no text");
  return push_global(tree_.text(*module), tree_.text(*name));
}

// --- containers ---

Status PickleBuilder::mark() {
  marks_.push_back(stack_.size());
  return Status::ok();
}

Status PickleBuilder::append_items(ValueId container, std::span<const ValueId> values) {
  Node& node = tree_.nodes_[container];
  if (node.items == 0) {
    node.items = static_cast<uint32_t>(tree_.lists_.size());
    tree_.lists_.emplace_back();
  }
  auto& items = tree_.lists_[node.items];
  items.insert(items.end(), values.begin(), values.end());
  tree_.item_count_ += values.size();
  for (const ValueId value : values) {
    node.depth = std::max(node.depth, tree_.nodes_[value].depth + 1);
  }
  if (node.depth <= kMaxDepth) return Status::ok();
  return Status::unsupported("the pickle is nested too deeply");
}

Status PickleBuilder::push_container(PickleKind kind, std::span<const ValueId> values) {
  Node node;
  node.kind = kind;
  node.has_pairs = kind == PickleKind::dict;
  TINTYPE_ASSIGN_OR_RETURN(const ValueId value, add(node));
  if (!values.empty()) TINTYPE_RETURN_IF_ERROR(append_items(value, values));
  stack_.push_back(value);
  return Status::ok();
}

Status PickleBuilder::push_empty(PickleKind container) {
  // Only a tuple can be shared: nothing is ever added to it.
  if (container == PickleKind::tuple) return push_shared(empty_tuple_, container, 0);
  return push_container(container, {});
}

Status PickleBuilder::push_marked(PickleKind container) {
  const auto values = pop_to_mark();
  if (!values.has_value()) return unbalanced();
  if (container == PickleKind::dict && values->size() % 2 != 0) return broken("a key has no value");
  return push_container(container, *values);
}

Status PickleBuilder::push_short_tuple(size_t count) {
  if (available() < count) return unbalanced();
  return push_container(PickleKind::tuple, pop_many(count));
}

Status PickleBuilder::extend(std::span<const ValueId> values, PickleKind exact_kind) {
  const auto container = top();
  if (!container.has_value()) return unbalanced();
  Node& node = tree_.nodes_[*container];
  if (node.kind != exact_kind && node.kind != PickleKind::call) {
    return broken(fmt::format("items are put into a {}", to_string(node.kind)));
  }
  if (values.empty()) return Status::ok();
  const bool has_pairs = exact_kind == PickleKind::dict;
  if (has_pairs && values.size() % 2 != 0) return broken("a key has no value");
  if (node.items != 0 && node.has_pairs != has_pairs) {
    return Status::unsupported("the pickle holds an object that is both a list and a dict");
  }
  node.has_pairs = has_pairs;
  return append_items(*container, values);
}

Status PickleBuilder::add_items(size_t count, PickleKind kind) {
  if (available() < count + 1) return unbalanced();
  return extend(pop_many(count), kind);
}

Status PickleBuilder::add_marked_items(PickleKind kind) {
  const auto values = pop_to_mark();
  return values.has_value() ? extend(*values, kind) : unbalanced();
}

// --- calls, none of which is made ---

Status PickleBuilder::call() {
  const auto arguments = pop();
  const auto callee = pop();
  if (!arguments.has_value() || !callee.has_value()) return unbalanced();
  if (tree_.kind(*arguments) != PickleKind::tuple) return broken("arguments are no tuple");
  TINTYPE_ASSIGN_OR_RETURN(const auto value, value_of_call(*callee, *arguments));
  if (value.has_value()) {
    stack_.push_back(*value);
    return Status::ok();
  }
  Node node;
  node.kind = PickleKind::call;
  node.scalar.pair[0] = *callee;
  node.scalar.pair[1] = *arguments;
  node.depth = std::max(tree_.nodes_[*callee].depth, tree_.nodes_[*arguments].depth);
  return push(node);
}

Status PickleBuilder::call_with_keywords() {
  if (available() < 3) return unbalanced();
  TINTYPE_RETURN_IF_ERROR(push_short_tuple(2));
  return call();
}

Status PickleBuilder::build() {
  const auto state = pop();
  const auto object = top();
  if (!state.has_value() || !object.has_value()) return unbalanced();
  if (tree_.kind(*object) != PickleKind::call) {
    return broken(fmt::format("a state is given to a {}", to_string(tree_.kind(*object))));
  }
  tree_.states_[*object].push_back(*state);
  Node& node = tree_.nodes_[*object];
  node.depth = std::max(node.depth, tree_.nodes_[*state].depth);
  return Status::ok();
}

Status PickleBuilder::push_persistent() {
  const auto id = pop();
  if (!id.has_value()) return unbalanced();
  Node node;
  node.kind = PickleKind::persistent;
  node.scalar.pair[1] = *id;
  node.depth = tree_.nodes_[*id].depth;
  return push(node);
}

// --- memo ---

Status PickleBuilder::put(uint64_t memo, uint64_t read_bytes) {
  const auto value = top();
  if (!value.has_value()) return unbalanced();
  if (memo >= read_bytes) return broken("a memo number is out of range");
  if (memo >= memo_.size()) memo_.resize(memo + 1, kNoValue);
  memo_[memo] = *value;
  return Status::ok();
}

Status PickleBuilder::get(uint64_t memo) {
  if (memo >= memo_.size() || memo_[memo] == kNoValue) return broken("a memo number is unknown");
  stack_.push_back(memo_[memo]);
  return Status::ok();
}

Status PickleBuilder::drop() {
  if (available() == 0 && !marks_.empty()) {  // POP takes a mark, too
    marks_.pop_back();
    return Status::ok();
  }
  return pop().has_value() ? Status::ok() : unbalanced();
}

Status PickleBuilder::drop_to_mark() {
  return pop_to_mark().has_value() ? Status::ok() : unbalanced();
}

Status PickleBuilder::duplicate() {
  const auto value = top();
  if (!value.has_value()) return unbalanced();
  stack_.push_back(*value);
  return Status::ok();
}

Result<PickleTree> PickleBuilder::finish() {
  if (stack_.size() != 1 || !marks_.empty()) return broken("STOP finds not exactly one value");
  tree_.root_ = stack_.back();
  return std::move(tree_);
}

std::string_view to_string(PickleKind kind) {
  switch (kind) {
    case PickleKind::none: return "NoneType";
    case PickleKind::boolean: return "bool";
    case PickleKind::integer:
    case PickleKind::big_integer: return "int";
    case PickleKind::real: return "float";
    case PickleKind::text: return "str";
    case PickleKind::bytes: return "bytes";
    case PickleKind::bytearray: return "bytearray";
    case PickleKind::global: return "global";
    case PickleKind::tuple: return "tuple";
    case PickleKind::list: return "list";
    case PickleKind::set: return "set";
    case PickleKind::frozenset: return "frozenset";
    case PickleKind::dict: return "dict";
    case PickleKind::call: return "call";
    case PickleKind::persistent: return "storage";
  }
  return "?";
}

}  // namespace tintype
