#include "engine/restore/value_fingerprint.h"

#include <bit>
#include <cmath>
#include <limits>
#include <string_view>

#include "engine/restore/tensor_reader.h"
#include "engine/restore/value_text.h"

namespace tintype {
namespace {

// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
constexpr uint64_t kStart = 0xCBF29CE484222325u;
constexpr uint64_t kPrime = 0x00000100000001B3u;

constexpr uint64_t kTensor = 2;   // any; 0 is "unknown"
constexpr uint64_t kTooDeep = 3;  // the reader's limits end a walk long before
constexpr uint64_t kReal = 4;     // any
constexpr uint64_t kComplex = 5;  // any
constexpr uint64_t kDepthMax = 2'000;

uint64_t with_number(uint64_t hash, uint64_t number) {
  for (int shift = 0; shift < 64; shift += 8) hash = (hash ^ (number >> shift & 0xFFu)) * kPrime;
  return hash;
}

uint64_t with_text(uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
  return with_number(hash, text.size());
}

uint64_t with_real(uint64_t hash, double value) {
  const double same = std::isnan(value) ? std::numeric_limits<double>::quiet_NaN() : value;
  return with_number(hash, std::bit_cast<uint64_t>(same == 0 ? 0.0 : same));
}

}  // namespace

uint64_t ValueFingerprints::of_integer(int64_t value) {
  const uint64_t hash = with_number(kStart, static_cast<uint64_t>(PickleKind::integer));
  return with_number(hash, static_cast<uint64_t>(value));
}

uint64_t ValueFingerprints::of_text(std::string_view text) {
  return with_text(with_number(kStart, static_cast<uint64_t>(PickleKind::text)), text);
}

uint64_t ValueFingerprints::of_path(uint64_t path, uint64_t key) {
  return with_number(with_number(kStart, path), key);
}

uint64_t ValueFingerprints::of(ValueId value) {
  if (known_[value] != kUnknown) return known_[value];
  if (depth_ == kDepthMax) return kTooDeep;
  // What holds itself meets its own kind alone.
  known_[value] = with_number(kStart, static_cast<uint64_t>(tree_.kind(value))) | 1u;
  ++depth_;
  const uint64_t hash = compute(value);
  --depth_;
  known_[value] = hash == kUnknown ? ~kUnknown : hash;
  return known_[value];
}

uint64_t ValueFingerprints::of_all_but_numbers(ValueId value,
                                               std::vector<std::complex<double>>& numbers) {
  if (tree_.kind(value) == PickleKind::real) {
    numbers.emplace_back(tree_.real(value));
    return kReal;
  }
  if (const auto number = complex_of(tree_, value); number.has_value()) {
    numbers.push_back(*number);
    return kComplex;
  }
  const auto container = container_of(tree_, value);
  if (!container.has_value() || !container->is_sequence()) return of(value);
  const auto members = container->members(tree_);
  if (!are_scalars(tree_, members)) return of(value);
  uint64_t hash = of_kind(*container);
  for (const ValueId member : members) {
    hash = with_number(hash, of_all_but_numbers(member, numbers));
  }
  return with_number(hash, members.size());
}

uint64_t ValueFingerprints::with_parts(uint64_t hash, std::span<const ValueId> parts) {
  for (const ValueId part : parts) hash = with_number(hash, of(part));
  return with_number(hash, parts.size());
}

uint64_t ValueFingerprints::with_unordered(uint64_t hash, std::span<const ValueId> parts,
                                           size_t step) {
  uint64_t sum = 0;
  for (size_t i = 0; i + step <= parts.size(); i += step) {
    sum += with_parts(kStart, parts.subspan(i, step));
  }
  return with_number(with_number(hash, sum), parts.size());
}

uint64_t ValueFingerprints::of_kind(const Container& container) {
  const bool is_dict = container.type == "collections.OrderedDict";
  const uint64_t hash = with_text(kStart, is_dict ? "dict" : container.type);
  return container.option.has_value() ? with_number(hash, of(*container.option)) : hash;
}

uint64_t ValueFingerprints::with_members(uint64_t hash, const Container& container) {
  const auto members = container.members(tree_);
  if (members.empty()) return hash;  // a dict or an OrderedDict
  if (tree_.has_pairs(container.holder)) return with_unordered(hash, members, 2);
  return container.is_set() ? with_unordered(hash, members, 1) : with_parts(hash, members);
}

uint64_t ValueFingerprints::compute(ValueId value) {
  const PickleKind kind = tree_.kind(value);
  const uint64_t hash = with_number(kStart, static_cast<uint64_t>(kind));
  switch (kind) {
    case PickleKind::none: return hash;
    case PickleKind::boolean:
    case PickleKind::integer: return with_number(hash, static_cast<uint64_t>(tree_.integer(value)));
    case PickleKind::real: return with_real(hash, tree_.real(value));
    case PickleKind::big_integer:
    case PickleKind::text:
    case PickleKind::bytes:
    case PickleKind::bytearray:
    case PickleKind::global: return with_text(hash, tree_.text(value));
    case PickleKind::persistent: return kTensor;
    default: break;
  }
  if (const auto container = container_of(tree_, value); container.has_value()) {
    const uint64_t kind_hash = of_kind(*container);
    // Once, however many calls are given the same argument.
    if (container->holder != value) return with_number(kind_hash, of(container->holder));
    return with_members(kind_hash, *container);
  }
  const auto tensor = read_tensor(tree_, value);
  if (tensor.is_ok() && tensor->has_value()) return kTensor;
  const ValueId called[] = {tree_.callee(value), tree_.argument(value)};
  const uint64_t whole = with_parts(with_parts(hash, called), tree_.items(value));
  return with_parts(whole, tree_.states(value));
}

}  // namespace tintype
