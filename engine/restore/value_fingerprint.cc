#include "engine/restore/value_fingerprint.h"

#include <bit>
#include <string_view>

#include "engine/restore/tensor_reader.h"

namespace tintype {
namespace {

// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
constexpr uint64_t kStart = 0xCBF29CE484222325u;
constexpr uint64_t kPrime = 0x00000100000001B3u;

constexpr uint64_t kTensor = 2;   // any; 0 is "unknown"
constexpr uint64_t kTooDeep = 3;  // the reader's limits end a walk long before
constexpr uint64_t kDepthMax = 2'000;

uint64_t with_number(uint64_t hash, uint64_t number) {
  for (int shift = 0; shift < 64; shift += 8) hash = (hash ^ (number >> shift & 0xFFu)) * kPrime;
  return hash;
}

uint64_t with_text(uint64_t hash, std::string_view text) {
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * kPrime;
  return with_number(hash, text.size());
}

}  // namespace

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

uint64_t ValueFingerprints::with_parts(uint64_t hash, std::span<const ValueId> parts) {
  for (const ValueId part : parts) hash = with_number(hash, of(part));
  return with_number(hash, parts.size());
}

uint64_t ValueFingerprints::compute(ValueId value) {
  const PickleKind kind = tree_.kind(value);
  const uint64_t hash = with_number(kStart, static_cast<uint64_t>(kind));
  switch (kind) {
    case PickleKind::none: return hash;
    case PickleKind::boolean:
    case PickleKind::integer: return with_number(hash, static_cast<uint64_t>(tree_.integer(value)));
    case PickleKind::real: return with_number(hash, std::bit_cast<uint64_t>(tree_.real(value)));
    case PickleKind::big_integer:
    case PickleKind::text:
    case PickleKind::bytes:
    case PickleKind::bytearray:
    case PickleKind::global: return with_text(hash, tree_.text(value));
    case PickleKind::tuple:
    case PickleKind::list:
    case PickleKind::set:
    case PickleKind::frozenset:
    case PickleKind::dict: return with_parts(hash, tree_.items(value));
    case PickleKind::persistent: return kTensor;
    case PickleKind::call: break;
  }
  const auto tensor = read_tensor(tree_, value);
  if (tensor.is_ok() && tensor->has_value()) return kTensor;
  const ValueId called[] = {tree_.callee(value), tree_.argument(value)};
  const uint64_t whole = with_parts(with_parts(hash, called), tree_.items(value));
  return with_parts(whole, tree_.states(value));
}

}  // namespace tintype
