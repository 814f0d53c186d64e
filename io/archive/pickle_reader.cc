#include "io/archive/pickle_reader.h"

#include <algorithm>
#include <array>
#include <bit>
#include <optional>

#include <fmt/format.h>

namespace tintype {

// The stack machine. Every opcode pushes at most one value, so memory is bounded by the pickle's
// size; no opcode makes it recurse.
class PickleBuilder {
 public:
  PickleBuilder(ByteVector pickle, const ReadLimits& limits) : limits_(limits) {
    tree_.pickle_ = std::move(pickle);
    bytes_ = tree_.pickle_;
  }

  Result<PickleTree> run() {
    while (!is_stopped_) {
      if (at_ >= bytes_.size()) return broken("it ends without STOP");
      opcode_offset_ = at_;
      const auto opcode = static_cast<uint8_t>(bytes_[at_++]);
      const Action action = kActions[opcode];
      if (action == nullptr) return refuse_opcode(opcode);
      TINTYPE_RETURN_IF_ERROR((this->*action)());
    }
    return std::move(tree_);
  }

 private:
  using Action = Status (PickleBuilder::*)();
  using Node = PickleTree::Node;

  // --- errors ---

  Status broken(std::string_view what) const {
    return Status::corruption(fmt::format("the pickle is damaged at byte {}: {}", opcode_offset_, what));
  }

  static Status refuse_opcode(uint8_t opcode) {
    constexpr std::string_view kKnown = "IFLSVPgpdio\x82\x83\x84\x97\x98";
    if (kKnown.find(static_cast<char>(opcode)) != std::string_view::npos) {
      return Status::unsupported(fmt::format(
          "the pickle uses opcode {:#04x}, which torch.save never writes; save it again with pickle "
          "protocol 2", opcode));
    }
    return Status::corruption(fmt::format("the pickle is damaged: {:#04x} is no opcode", opcode));
  }

  // --- reading operands ---

  bool has(uint64_t byte_count) const { return byte_count <= bytes_.size() - at_; }

  template <typename Integer>
  std::optional<Integer> take() {
    if (!has(sizeof(Integer))) return std::nullopt;
    const auto value = load_little_endian<Integer>(bytes_, at_);
    at_ += sizeof(Integer);
    return value;
  }

  template <typename Length>
  std::optional<std::string_view> take_counted() {
    const auto length = take<Length>();
    if (!length.has_value() || !has(static_cast<uint64_t>(*length))) return std::nullopt;
    const auto text = as_text(bytes_.subspan(at_, static_cast<size_t>(*length)));
    at_ += text.size();
    return text;
  }

  std::optional<std::string_view> take_line() {
    const std::string_view rest = as_text(bytes_.subspan(at_));
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) return std::nullopt;
    at_ += end + 1;
    return rest.substr(0, end);
  }

  // --- values and the stack ---

  Result<ValueId> add(Node node) {
    if (tree_.nodes_.size() >= limits_.pickle_value_count) {
      return Status::unsupported(fmt::format("the pickle holds more than {} values, the limit",
                                             limits_.pickle_value_count));
    }
    tree_.nodes_.push_back(node);
    return static_cast<ValueId>(tree_.nodes_.size() - 1);
  }

  Status push(Node node) {
    TINTYPE_ASSIGN_OR_RETURN(const ValueId value, add(node));
    stack_.push_back(value);
    return Status::ok();
  }

  Status push_text(PickleKind kind, std::optional<std::string_view> text) {
    if (!text.has_value()) return broken("a length reaches beyond its end");
    if (text->size() > UINT32_MAX) return Status::unsupported("the pickle holds a text over 4 GiB");
    Node node;
    node.kind = kind;
    node.scalar.characters = text->data();
    node.length = static_cast<uint32_t>(text->size());
    return push(node);
  }

  Status push_integer(int64_t value) {
    Node node;
    node.kind = PickleKind::integer;
    node.scalar.integer = value;
    return push(node);
  }

  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  std::optional<ValueId> pop() {
    if (stack_.size() <= floor()) return std::nullopt;
    const ValueId value = stack_.back();
    stack_.pop_back();
    return value;
  }

  // The values above the last mark; the mark goes too.
  std::optional<std::vector<ValueId>> pop_to_mark() {
    if (marks_.empty()) return std::nullopt;
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<ValueId> values(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return values;
  }

  std::optional<ValueId> top() const {
    return stack_.size() > floor() ? std::optional(stack_.back()) : std::nullopt;
  }

  Status unbalanced() const { return broken("an opcode finds too little on the stack"); }

  void append_items(ValueId container, std::span<const ValueId> values) {
    uint32_t& list = tree_.nodes_[container].items;
    if (list == 0) {
      list = static_cast<uint32_t>(tree_.lists_.size());
      tree_.lists_.emplace_back();
    }
    auto& items = tree_.lists_[list];
    items.insert(items.end(), values.begin(), values.end());
  }

  Status push_container(PickleKind kind, std::span<const ValueId> values) {
    Node node;
    node.kind = kind;
    node.has_pairs = kind == PickleKind::dict;
    TINTYPE_ASSIGN_OR_RETURN(const ValueId value, add(node));
    if (!values.empty()) append_items(value, values);
    stack_.push_back(value);
    return Status::ok();
  }

  // --- constants ---

  Status constant(std::optional<ValueId>& shared, PickleKind kind, int64_t scalar) {
    if (!shared.has_value()) {
      Node node;
      node.kind = kind;
      node.scalar.integer = scalar;
      TINTYPE_ASSIGN_OR_RETURN(shared, add(node));
    }
    stack_.push_back(*shared);
    return Status::ok();
  }
  Status push_none() { return constant(none_, PickleKind::none, 0); }
  Status push_true() { return constant(true_, PickleKind::boolean, 1); }
  Status push_false() { return constant(false_, PickleKind::boolean, 0); }
  Status push_empty_tuple() { return constant(empty_tuple_, PickleKind::tuple, 0); }

  template <typename Integer>
  Status push_fixed() {
    const auto value = take<Integer>();
    if (!value.has_value()) return broken("a number reaches beyond its end");
    if (*value >= 0 && static_cast<uint64_t>(*value) < small_.size()) {
      return constant(small_[static_cast<size_t>(*value)], PickleKind::integer, *value);
    }
    return push_integer(*value);
  }

  template <typename Length>
  Status push_long() {
    const auto digits = take_counted<Length>();
    if (!digits.has_value()) return broken("a number reaches beyond its end");
    if (digits->size() > sizeof(int64_t)) return push_text(PickleKind::big_integer, digits);
    const bool is_negative = !digits->empty() && (digits->back() & '\x80') != 0;
    int64_t value = is_negative ? -1 : 0;
    std::memcpy(&value, digits->data(), digits->size());
    return push_integer(value);
  }

  Status push_real() {
    const auto big_endian = take<uint64_t>();
    if (!big_endian.has_value()) return broken("a number reaches beyond its end");
    Node node;
    node.kind = PickleKind::real;
    node.scalar.real = std::bit_cast<double>(__builtin_bswap64(*big_endian));
    return push(node);
  }

  template <typename Length>
  Status push_unicode() { return push_text(PickleKind::text, take_counted<Length>()); }
  template <typename Length>
  Status push_bytes() { return push_text(PickleKind::bytes, take_counted<Length>()); }

  // --- containers ---

  Status mark() {
    marks_.push_back(stack_.size());
    return Status::ok();
  }
  Status push_empty_list() { return push_container(PickleKind::list, {}); }
  Status push_empty_dict() { return push_container(PickleKind::dict, {}); }
  Status push_empty_set() { return push_container(PickleKind::set, {}); }

  template <PickleKind kind>
  Status push_marked() {
    const auto values = pop_to_mark();
    if (!values.has_value()) return unbalanced();
    if (kind == PickleKind::dict && values->size() % 2 != 0) return broken("a key has no value");
    return push_container(kind, *values);
  }

  template <size_t count>
  Status push_short_tuple() {
    if (stack_.size() - floor() < count) return unbalanced();
    const std::vector<ValueId> values(stack_.end() - count, stack_.end());
    stack_.resize(stack_.size() - count);
    return push_container(PickleKind::tuple, values);
  }

  // Adds to the container on top of the stack, which a call may have made.
  Status extend(std::span<const ValueId> values, PickleKind exact_kind) {
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
    append_items(*container, values);
    return Status::ok();
  }

  template <size_t count, PickleKind kind>
  Status add_items() {
    if (stack_.size() - floor() < count + 1) return unbalanced();
    const std::vector<ValueId> values(stack_.end() - count, stack_.end());
    stack_.resize(stack_.size() - count);
    return extend(values, kind);
  }

  template <PickleKind kind>
  Status add_marked_items() {
    const auto values = pop_to_mark();
    return values.has_value() ? extend(*values, kind) : unbalanced();
  }

  // --- names and calls, none of which is followed ---

  Status push_qualified(std::string_view module, std::string_view name) {
    constexpr std::array<std::array<std::string_view, 2>, 4> kRenamed = {
        {{"__builtin__", "builtins"}, {"copy_reg", "copyreg"}, {"cPickle", "pickle"},
         {"exceptions", "builtins"}}};
    for (const auto& [old_name, new_name] : kRenamed) {
      if (module == old_name) module = new_name;
    }
    const auto [found, is_new] = globals_.try_emplace(fmt::format("{}.{}", module, name), 0);
    if (is_new) {
      tree_.strings_.push_back(found->first);
      TINTYPE_RETURN_IF_ERROR(push_text(PickleKind::global, tree_.strings_.back()));
      found->second = stack_.back();
    } else {
      stack_.push_back(found->second);
    }
    return Status::ok();
  }

  Status push_global() {
    const auto module = take_line();
    const auto name = module.has_value() ? take_line() : std::nullopt;
    if (!name.has_value()) return broken("a class name reaches beyond its end");
    return push_qualified(*module, *name);
  }

  Status push_stack_global() {
    const auto name = pop();
    const auto module = pop();
    if (!name.has_value() || !module.has_value()) return unbalanced();
    if (!tree_.is_text(*name) || !tree_.is_text(*module)) return broken("a class name is no text");
    return push_qualified(tree_.text(*module), tree_.text(*name));
  }

  Status push_call(ValueId callee, ValueId arguments) {
    Node node;
    node.kind = PickleKind::call;
    node.scalar.pair[0] = callee;
    node.scalar.pair[1] = arguments;
    return push(node);
  }

  Status call() {
    const auto arguments = pop();
    const auto callee = pop();
    if (!arguments.has_value() || !callee.has_value()) return unbalanced();
    if (tree_.kind(*arguments) != PickleKind::tuple) return broken("arguments are no tuple");
    return push_call(*callee, *arguments);
  }

  Status call_with_keywords() {
    if (stack_.size() - floor() < 3) return unbalanced();
    TINTYPE_RETURN_IF_ERROR(push_short_tuple<2>());
    return call();
  }

  Status build() {
    const auto state = pop();
    const auto object = top();
    if (!state.has_value() || !object.has_value()) return unbalanced();
    if (tree_.kind(*object) != PickleKind::call) {
      return broken(fmt::format("a state is given to a {}", to_string(tree_.kind(*object))));
    }
    tree_.states_[*object].push_back(*state);
    return Status::ok();
  }

  Status push_persistent() {
    const auto id = pop();
    if (!id.has_value()) return unbalanced();
    Node node;
    node.kind = PickleKind::persistent;
    node.scalar.pair[1] = *id;
    return push(node);
  }

  // --- memo and stack ---

  Status put(std::optional<uint64_t> memo) {
    const auto value = top();
    if (!value.has_value()) return unbalanced();
    // Picklers count up, so a number is below the offset at which it appears.
    if (!memo.has_value() || *memo >= at_) return broken("a memo number is out of range");
    if (*memo >= memo_.size()) memo_.resize(*memo + 1, kNoValue);
    memo_[*memo] = *value;
    return Status::ok();
  }
  template <typename Number>
  Status put_number() { return put(take<Number>()); }
  Status memoize() { return put(memoize_count_++); }

  template <typename Number>
  Status get_number() {
    const auto memo = take<Number>();
    if (!memo.has_value() || *memo >= memo_.size() || memo_[*memo] == kNoValue) {
      return broken("a memo number is unknown");
    }
    stack_.push_back(memo_[*memo]);
    return Status::ok();
  }

  Status drop() {
    if (stack_.size() == floor() && !marks_.empty()) {  // POP takes a mark, too
      marks_.pop_back();
      return Status::ok();
    }
    return pop().has_value() ? Status::ok() : unbalanced();
  }
  Status drop_to_mark() { return pop_to_mark().has_value() ? Status::ok() : unbalanced(); }
  Status duplicate() {
    const auto value = top();
    if (!value.has_value()) return unbalanced();
    stack_.push_back(*value);
    return Status::ok();
  }

  Status protocol() {
    const auto version = take<uint8_t>();
    if (!version.has_value()) return broken("it ends early");
    if (*version <= 5) return Status::ok();
    return Status::unsupported(fmt::format("the pickle has protocol {}, newer than 5", *version));
  }
  Status frame() {
    const auto length = take<uint64_t>();
    return length.has_value() && has(*length) ? Status::ok()
                                              : broken("a frame reaches beyond its end");
  }
  Status stop() {
    if (stack_.size() != 1 || !marks_.empty()) return broken("STOP finds not exactly one value");
    tree_.root_ = stack_.back();
    is_stopped_ = true;
    return Status::ok();
  }

  static constexpr std::array<Action, 256> make_actions();
  static const std::array<Action, 256> kActions;
  static constexpr ValueId kNoValue = UINT32_MAX;

  const ReadLimits& limits_;
  PickleTree tree_;
  ByteView bytes_;
  size_t at_ = 0;
  size_t opcode_offset_ = 0;
  bool is_stopped_ = false;
  std::vector<ValueId> stack_;
  std::vector<size_t> marks_;  // sizes of the stack
  std::vector<ValueId> memo_;
  uint64_t memoize_count_ = 0;
  std::unordered_map<std::string, ValueId> globals_;
  std::optional<ValueId> none_, true_, false_, empty_tuple_;
  std::array<std::optional<ValueId>, 256> small_;
};

// Names of opcodes as in Python's pickletools.
constexpr std::array<PickleBuilder::Action, 256> PickleBuilder::make_actions() {
  using B = PickleBuilder;
  using K = PickleKind;
  std::array<Action, 256> a{};
  const auto set = [&a](char opcode, Action action) { a[static_cast<uint8_t>(opcode)] = action; };
  set('\x80', &B::protocol), set('\x95', &B::frame), set('.', &B::stop);
  set('N', &B::push_none), set('\x88', &B::push_true), set('\x89', &B::push_false);
  set('K', &B::push_fixed<uint8_t>), set('M', &B::push_fixed<uint16_t>);
  set('J', &B::push_fixed<int32_t>), set('G', &B::push_real);
  set('\x8a', &B::push_long<uint8_t>), set('\x8b', &B::push_long<uint32_t>);
  set('X', &B::push_unicode<uint32_t>), set('\x8c', &B::push_unicode<uint8_t>);
  set('\x8d', &B::push_unicode<uint64_t>);
  set('T', &B::push_unicode<uint32_t>), set('U', &B::push_unicode<uint8_t>);  // Python 2's str
  set('B', &B::push_bytes<uint32_t>), set('C', &B::push_bytes<uint8_t>);
  set('\x8e', &B::push_bytes<uint64_t>), set('\x96', &B::push_bytes<uint64_t>);
  set('(', &B::mark), set(')', &B::push_empty_tuple), set(']', &B::push_empty_list);
  set('}', &B::push_empty_dict), set('\x8f', &B::push_empty_set);
  set('t', &B::push_marked<K::tuple>), set('l', &B::push_marked<K::list>);
  set('d', &B::push_marked<K::dict>), set('\x91', &B::push_marked<K::set>);
  set('\x85', &B::push_short_tuple<1>), set('\x86', &B::push_short_tuple<2>);
  set('\x87', &B::push_short_tuple<3>);
  set('a', &B::add_items<1, K::list>), set('e', &B::add_marked_items<K::list>);
  set('s', &B::add_items<2, K::dict>), set('u', &B::add_marked_items<K::dict>);
  set('\x90', &B::add_marked_items<K::set>);
  set('c', &B::push_global), set('\x93', &B::push_stack_global);
  set('R', &B::call), set('\x81', &B::call), set('\x92', &B::call_with_keywords);
  set('b', &B::build), set('Q', &B::push_persistent);
  set('q', &B::put_number<uint8_t>), set('r', &B::put_number<uint32_t>);
  set('\x94', &B::memoize);
  set('h', &B::get_number<uint8_t>), set('j', &B::get_number<uint32_t>);
  set('0', &B::drop), set('1', &B::drop_to_mark), set('2', &B::duplicate);
  return a;
}
constinit const std::array<PickleBuilder::Action, 256> PickleBuilder::kActions =
    PickleBuilder::make_actions();

std::string_view to_string(PickleKind kind) {
  switch (kind) {
    case PickleKind::none: return "NoneType";
    case PickleKind::boolean: return "bool";
    case PickleKind::integer:
    case PickleKind::big_integer: return "int";
    case PickleKind::real: return "float";
    case PickleKind::text: return "str";
    case PickleKind::bytes: return "bytes";
    case PickleKind::global: return "global";
    case PickleKind::tuple: return "tuple";
    case PickleKind::list: return "list";
    case PickleKind::set: return "set";
    case PickleKind::dict: return "dict";
    case PickleKind::call: return "call";
    case PickleKind::persistent: return "storage";
  }
  return "?";
}

Result<PickleTree> read_pickle(ByteVector pickle, const ReadLimits& limits) {
  if (pickle.size() > limits.pickle_bytes) {
    return Status::unsupported(fmt::format("the pickle has {} bytes, over the limit of {}",
                                           pickle.size(), limits.pickle_bytes));
  }
  return PickleBuilder(std::move(pickle), limits).run();
}

}  // namespace tintype
