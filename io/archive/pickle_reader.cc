#include "io/archive/pickle_reader.h"

#include <array>
#include <bit>
#include <cstring>
#include <optional>

#include <fmt/format.h>

#include "io/archive/pickle_builder.h"

namespace tintype {
namespace {

Status refuse_opcode(uint8_t opcode) {
  constexpr std::string_view kKnown = "IFLSVPgpdio\x82\x83\x84\x97\x98";
  if (kKnown.find(static_cast<char>(opcode)) != std::string_view::npos) {
    return Status::unsupported(
        fmt::format(
            "the pickle uses opcode {:#04x}, which is not read: it belongs to protocol 0 or "
            "1, to copyreg's extension codes or to out-of-band buffers",
            opcode),
        "save it again with pickle protocol 2");
  }
  return Status::corruption(fmt::format("the pickle is damaged: {:#04x} is no opcode", opcode));
}

// Decodes opcodes and operands, and hands them to the builder.
class PickleReader {
 public:
  PickleReader(ByteVector pickle, const ReadLimits& limits)
      : builder_(std::move(pickle), limits), bytes_(builder_.pickle()) {}

  Result<PickleTree> run() {
    while (!is_stopped_) {
      builder_.begin_opcode(at_);
      if (at_ >= bytes_.size()) return builder_.broken("it ends without STOP");
      const auto opcode = static_cast<uint8_t>(bytes_[at_++]);
      const Action action = kActions[opcode];
      if (action == nullptr) return refuse_opcode(opcode);
      TINTYPE_RETURN_IF_ERROR((this->*action)());
    }
    return builder_.finish();
  }

 private:
  using Action = Status (PickleReader::*)();
  using Kind = PickleKind;

  bool has(uint64_t byte_count) const { return byte_count <= bytes_.size() - at_; }

  Status too_long() const { return builder_.broken("a length reaches beyond its end"); }

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
    if (!length.has_value() || !has(*length)) return std::nullopt;
    const auto text = as_text(bytes_.subspan(at_, *length));
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

  // --- actions with operands ---

  template <typename Integer>
  Status push_fixed() {
    const auto value = take<Integer>();
    return value.has_value() ? builder_.push_integer(*value) : too_long();
  }

  template <typename Length>
  Status push_long() {
    const auto digits = take_counted<Length>();
    if (!digits.has_value()) return too_long();
    if (digits->size() > sizeof(int64_t)) return builder_.push_text(Kind::big_integer, *digits);
    const bool is_negative = !digits->empty() && (digits->back() & '\x80') != 0;
    int64_t value = is_negative ? -1 : 0;
    if (!digits->empty()) std::memcpy(&value, digits->data(), digits->size());
    return builder_.push_integer(value);
  }

  Status push_real() {
    const auto big_endian = take<uint64_t>();
    if (!big_endian.has_value()) return too_long();
    return builder_.push_real(std::bit_cast<double>(__builtin_bswap64(*big_endian)));
  }

  template <Kind kind, typename Length>
  Status push_counted() {
    const auto text = take_counted<Length>();
    return text.has_value() ? builder_.push_text(kind, *text) : too_long();
  }

  Status push_global() {
    const auto module = take_line();
    const auto name = module.has_value() ? take_line() : std::nullopt;
    return name.has_value() ? builder_.push_global(*module, *name) : too_long();
  }

  template <typename Number>
  Status put() {
    const auto memo = take<Number>();
    return memo.has_value() ? builder_.put(*memo, at_) : too_long();
  }

  template <typename Number>
  Status get() {
    const auto memo = take<Number>();
    return memo.has_value() ? builder_.get(*memo) : too_long();
  }

  Status protocol() {
    const auto version = take<uint8_t>();
    if (!version.has_value()) return too_long();
    if (*version <= 5) return Status::ok();
    return Status::unsupported(fmt::format("the pickle has protocol {}, newer than 5", *version));
  }

  Status frame() {
    const auto length = take<uint64_t>();
    return length.has_value() && has(*length) ? Status::ok() : too_long();
  }

  Status stop() {
    is_stopped_ = true;
    return Status::ok();
  }

  // --- actions without ---

  Status none() { return builder_.push_none(); }
  template <bool value>
  Status boolean() {
    return builder_.push_boolean(value);
  }
  Status stack_global() { return builder_.push_stack_global(); }
  Status mark() { return builder_.mark(); }
  template <Kind kind>
  Status empty() {
    return builder_.push_empty(kind);
  }
  template <Kind kind>
  Status marked() {
    return builder_.push_marked(kind);
  }
  template <size_t count>
  Status short_tuple() {
    return builder_.push_short_tuple(count);
  }
  Status append() { return builder_.add_items(1, Kind::list); }
  Status set_item() { return builder_.add_items(2, Kind::dict); }
  template <Kind kind>
  Status add_marked() {
    return builder_.add_marked_items(kind);
  }
  Status call() { return builder_.call(); }
  Status call_with_keywords() { return builder_.call_with_keywords(); }
  Status build() { return builder_.build(); }
  Status persistent() { return builder_.push_persistent(); }
  Status memoize() { return builder_.memoize(at_); }
  Status drop() { return builder_.drop(); }
  Status drop_to_mark() { return builder_.drop_to_mark(); }
  Status duplicate() { return builder_.duplicate(); }

  static constexpr std::array<Action, 256> make_actions();
  static const std::array<Action, 256> kActions;

  PickleBuilder builder_;
  ByteView bytes_;
  size_t at_ = 0;
  bool is_stopped_ = false;
};

// The allow-list. In the order of Python's pickletools: constants, containers, names, calls, memo.
constexpr std::array<PickleReader::Action, 256> PickleReader::make_actions() {
  using R = PickleReader;
  std::array<Action, 256> a{};
  const auto set = [&a](char opcode, Action action) { a[static_cast<uint8_t>(opcode)] = action; };
  set('\x80', &R::protocol), set('\x95', &R::frame), set('.', &R::stop);
  set('N', &R::none), set('\x88', &R::boolean<true>), set('\x89', &R::boolean<false>);
  set('K', &R::push_fixed<uint8_t>), set('M', &R::push_fixed<uint16_t>);
  set('J', &R::push_fixed<int32_t>), set('G', &R::push_real);
  set('\x8a', &R::push_long<uint8_t>), set('\x8b', &R::push_long<uint32_t>);
  set('X', &R::push_counted<Kind::text, uint32_t>);
  set('\x8c', &R::push_counted<Kind::text, uint8_t>);
  set('\x8d', &R::push_counted<Kind::text, uint64_t>);
  set('T', &R::push_counted<Kind::text, uint32_t>);  // Python 2's str
  set('U', &R::push_counted<Kind::text, uint8_t>);
  set('B', &R::push_counted<Kind::bytes, uint32_t>);
  set('C', &R::push_counted<Kind::bytes, uint8_t>);
  set('\x8e', &R::push_counted<Kind::bytes, uint64_t>);
  set('\x96', &R::push_counted<Kind::bytearray, uint64_t>);
  set('(', &R::mark), set(')', &R::empty<Kind::tuple>), set(']', &R::empty<Kind::list>);
  set('}', &R::empty<Kind::dict>), set('\x8f', &R::empty<Kind::set>);
  set('t', &R::marked<Kind::tuple>), set('l', &R::marked<Kind::list>);
  set('d', &R::marked<Kind::dict>), set('\x91', &R::marked<Kind::frozenset>);
  set('\x85', &R::short_tuple<1>), set('\x86', &R::short_tuple<2>);
  set('\x87', &R::short_tuple<3>);
  set('a', &R::append), set('e', &R::add_marked<Kind::list>);
  set('s', &R::set_item), set('u', &R::add_marked<Kind::dict>);
  set('\x90', &R::add_marked<Kind::set>);
  set('c', &R::push_global), set('\x93', &R::stack_global);
  set('R', &R::call), set('\x81', &R::call), set('\x92', &R::call_with_keywords);
  set('b', &R::build), set('Q', &R::persistent);
  set('q', &R::put<uint8_t>), set('r', &R::put<uint32_t>), set('\x94', &R::memoize);
  set('h', &R::get<uint8_t>), set('j', &R::get<uint32_t>);
  set('0', &R::drop), set('1', &R::drop_to_mark), set('2', &R::duplicate);
  return a;
}
constinit const std::array<PickleReader::Action, 256> PickleReader::kActions =
    PickleReader::make_actions();

}  // namespace

Result<PickleTree> read_pickle(ByteVector pickle, const ReadLimits& limits) {
  if (pickle.size() > limits.pickle_bytes) {
    return Status::unsupported(fmt::format("the pickle has {} bytes, over the limit of {}",
                                           pickle.size(), limits.pickle_bytes));
  }
  return PickleReader(std::move(pickle), limits).run();
}

}  // namespace tintype
