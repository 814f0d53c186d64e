#include "engine/diff/element_difference.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <complex>
#include <concepts>
#include <cstring>
#include <limits>

namespace tintype {
namespace {

template <typename T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

// --- types as numbers: each has a size, and a value() that computes with ---

template <typename T>
struct Native {
  static constexpr size_t kBytes = sizeof(T);
  static T value(const std::byte* from) { return load<T>(from); }
};

// Any byte but 0 is true.
struct Boolean {
  static constexpr size_t kBytes = 1;
  static uint8_t value(const std::byte* from) { return *from == std::byte{0} ? 0 : 1; }
};

enum class Specials {
  ieee,          // the highest exponent holds infinities and NaN
  nan_at_ones,   // "fn": only all ones are NaN, no infinity
  nan_at_minus0  // "fnuz": only the bits of -0 are NaN, no infinity
};

// A floating-point number of 1 or 2 bytes.
template <typename Bits, int kExponentBits, int kMantissaBits, int kBias, Specials kSpecials>
struct Small {
  static constexpr size_t kBytes = sizeof(Bits);

  static double value(const std::byte* from) {
    const unsigned bits = load<Bits>(from);
    const unsigned mantissa = bits & kMantissaMask;
    const unsigned exponent = bits >> kMantissaBits & kExponentMask;
    const bool is_minus = (bits >> (kExponentBits + kMantissaBits) & 1u) != 0;
    if (is_nan(is_minus, exponent, mantissa)) return std::numeric_limits<double>::quiet_NaN();
    double magnitude = 0;
    if (kSpecials == Specials::ieee && exponent == kExponentMask) {
      magnitude = std::numeric_limits<double>::infinity();
    } else if (exponent == 0) {
      magnitude = std::ldexp(mantissa, 1 - kBias - kMantissaBits);
    } else {
      magnitude = std::ldexp(mantissa | (1u << kMantissaBits),
                             static_cast<int>(exponent) - kBias - kMantissaBits);
    }
    return is_minus ? -magnitude : magnitude;
  }

 private:
  static constexpr unsigned kMantissaMask = (1u << kMantissaBits) - 1;
  static constexpr unsigned kExponentMask = (1u << kExponentBits) - 1;

  static bool is_nan(bool is_minus, unsigned exponent, unsigned mantissa) {
    if (kSpecials == Specials::nan_at_minus0) return is_minus && exponent == 0 && mantissa == 0;
    if (kSpecials == Specials::nan_at_ones) {
      return exponent == kExponentMask && mantissa == kMantissaMask;
    }
    return exponent == kExponentMask && mantissa != 0;
  }
};

using Float16 = Small<uint16_t, 5, 10, 15, Specials::ieee>;
using Float8E5M2 = Small<uint8_t, 5, 2, 15, Specials::ieee>;
using Float8E5M2Fnuz = Small<uint8_t, 5, 2, 16, Specials::nan_at_minus0>;
using Float8E4M3Fn = Small<uint8_t, 4, 3, 7, Specials::nan_at_ones>;
using Float8E4M3Fnuz = Small<uint8_t, 4, 3, 8, Specials::nan_at_minus0>;

// The upper half of a float32.
struct BFloat16 {
  static constexpr size_t kBytes = 2;
  static float value(const std::byte* from) {
    return std::bit_cast<float>(static_cast<uint32_t>(load<uint16_t>(from)) << 16);
  }
};

// A power of two without a sign; all ones are NaN.
struct Float8E8M0 {
  static constexpr size_t kBytes = 1;
  static double value(const std::byte* from) {
    const int exponent = load<uint8_t>(from);
    if (exponent == 0xFF) return std::numeric_limits<double>::quiet_NaN();
    return std::ldexp(1.0, exponent - 127);
  }
};

template <typename Part>
struct Complex {
  static constexpr size_t kBytes = 2 * Part::kBytes;
  static std::complex<double> value(const std::byte* from) {
    return {static_cast<double>(Part::value(from)),
            static_cast<double>(Part::value(from + Part::kBytes))};
  }
};

// --- distances ---

struct Distance {
  double absolute = 0;
  double magnitude = 0;  // of the larger one
  bool is_number = true;
  double share = 1;  // how much of the true ones the two above are
};

// Of both numbers, where their own distance is beyond the largest double: that of two complex ones
// is at most 2.83 times so large.
constexpr double kFarShare = 0.25;

// Exact up to 2^53, and to the nearest double beyond; equal ones are told apart exactly.
template <std::integral Integer>
Distance distance_between(Integer first, Integer second) {
  const auto [low, high] = std::minmax(first, second);
  const auto magnitude = [](Integer value) { return std::abs(static_cast<double>(value)); };
  const uint64_t apart = static_cast<uint64_t>(high) - static_cast<uint64_t>(low);
  return {static_cast<double>(apart), std::max(magnitude(low), magnitude(high))};
}

Distance distance_between(double first, double second) {
  if (first == second || (std::isnan(first) && std::isnan(second))) return {};
  if (!std::isfinite(first) || !std::isfinite(second)) return {.is_number = false};
  const double magnitude = std::max(std::abs(first), std::abs(second));
  const double apart = std::abs(first - second);
  if (std::isfinite(apart)) return {apart, magnitude};
  return {.absolute = std::abs(first * kFarShare - second * kFarShare),
          .magnitude = magnitude * kFarShare,
          .share = kFarShare};
}

Distance distance_between(std::complex<double> first, std::complex<double> second) {
  const Distance real = distance_between(first.real(), second.real());
  const Distance imaginary = distance_between(first.imag(), second.imag());
  if (!real.is_number || !imaginary.is_number) return {.is_number = false};
  if (real.absolute == 0 && imaginary.absolute == 0) return {};
  const double magnitude = std::max(std::abs(first), std::abs(second));
  const double apart = std::hypot(real.absolute, imaginary.absolute);
  const bool is_far = real.share != 1 || imaginary.share != 1;
  if (!is_far && std::isfinite(apart) && std::isfinite(magnitude)) return {apart, magnitude};
  const auto part = [](const Distance& one) { return one.absolute * (kFarShare / one.share); };
  return {.absolute = std::hypot(part(real), part(imaginary)),
          .magnitude = std::max(std::abs(first * kFarShare), std::abs(second * kFarShare)),
          .share = kFarShare};
}

template <std::integral Integer>
Integer with_flags(Integer value, ElementFlags) {
  return value;  // torch sets them on floating-point and complex tensors alone
}

double with_flags(double value, ElementFlags flags) { return flags.is_negative ? -value : value; }

std::complex<double> with_flags(std::complex<double> value, ElementFlags flags) {
  if (flags.is_conjugate) value = std::conj(value);
  return flags.is_negative ? -value : value;
}

struct Sides {
  ByteView first;
  ElementFlags first_flags;
  ByteView second;
  ElementFlags second_flags;
};

using Compare = ElementDifference (*)(const Sides&, uint32_t, const Tolerance&);

template <typename Type>
ElementDifference compare_numbers(const Sides& sides, uint32_t, const Tolerance& tolerance) {
  ElementDifference found;
  const bool has_same_flags = sides.first_flags == sides.second_flags;
  for (size_t at = 0; at < sides.first.size(); at += Type::kBytes) {
    const std::byte* first = sides.first.data() + at;
    const std::byte* second = sides.second.data() + at;
    if (has_same_flags && std::memcmp(first, second, Type::kBytes) == 0) continue;
    const Distance distance = distance_between(with_flags(Type::value(first), sides.first_flags),
                                               with_flags(Type::value(second), sides.second_flags));
    if (!distance.is_number) {
      ++found.differing_count;
      ++found.nonfinite_count;
    } else if (distance.absolute > 0) {
      const double limit =
          std::max(tolerance.absolute * distance.share, tolerance.relative * distance.magnitude);
      found.differing_count += distance.absolute > limit ? 1 : 0;
      found.max_absolute = std::max(found.max_absolute, distance.absolute / distance.share);
      found.max_relative = std::max(found.max_relative, distance.absolute / distance.magnitude);
    }
  }
  return found;
}

ElementDifference compare_bytes(const Sides& sides, uint32_t element_bytes, const Tolerance&) {
  ElementDifference found;
  for (size_t at = 0; at < sides.first.size(); at += element_bytes) {
    const bool is_same =
        std::memcmp(sides.first.data() + at, sides.second.data() + at, element_bytes) == 0;
    found.differing_count += is_same ? 0 : 1;
  }
  return found;
}

struct NamedCompare {
  std::string_view dtype;
  Compare compare;
};

constexpr std::array kNumbers = {
    NamedCompare{"float64", compare_numbers<Native<double>>},
    NamedCompare{"double", compare_numbers<Native<double>>},
    NamedCompare{"float32", compare_numbers<Native<float>>},
    NamedCompare{"float", compare_numbers<Native<float>>},
    NamedCompare{"float16", compare_numbers<Float16>},
    NamedCompare{"half", compare_numbers<Float16>},
    NamedCompare{"bfloat16", compare_numbers<BFloat16>},
    NamedCompare{"float8_e4m3fn", compare_numbers<Float8E4M3Fn>},
    NamedCompare{"float8_e4m3fnuz", compare_numbers<Float8E4M3Fnuz>},
    NamedCompare{"float8_e5m2", compare_numbers<Float8E5M2>},
    NamedCompare{"float8_e5m2fnuz", compare_numbers<Float8E5M2Fnuz>},
    NamedCompare{"float8_e8m0fnu", compare_numbers<Float8E8M0>},
    NamedCompare{"int64", compare_numbers<Native<int64_t>>},
    NamedCompare{"int32", compare_numbers<Native<int32_t>>},
    NamedCompare{"int16", compare_numbers<Native<int16_t>>},
    NamedCompare{"int8", compare_numbers<Native<int8_t>>},
    NamedCompare{"uint64", compare_numbers<Native<uint64_t>>},
    NamedCompare{"uint32", compare_numbers<Native<uint32_t>>},
    NamedCompare{"uint16", compare_numbers<Native<uint16_t>>},
    NamedCompare{"uint8", compare_numbers<Native<uint8_t>>},
    NamedCompare{"bool", compare_numbers<Boolean>},
    NamedCompare{"complex128", compare_numbers<Complex<Native<double>>>},
    NamedCompare{"complex64", compare_numbers<Complex<Native<float>>>},
    NamedCompare{"complex32", compare_numbers<Complex<Float16>>},
    NamedCompare{"qint32", compare_numbers<Native<int32_t>>},
    NamedCompare{"qint8", compare_numbers<Native<int8_t>>},
    NamedCompare{"quint8", compare_numbers<Native<uint8_t>>},
};

const NamedCompare* find_numbers(std::string_view dtype) {
  const auto* found = std::find_if(kNumbers.begin(), kNumbers.end(),
                                   [&](const NamedCompare& one) { return one.dtype == dtype; });
  return found == kNumbers.end() ? nullptr : found;
}

}  // namespace

void ElementDifference::add(const ElementDifference& other) {
  differing_count += other.differing_count;
  nonfinite_count += other.nonfinite_count;
  max_absolute = std::max(max_absolute, other.max_absolute);
  max_relative = std::max(max_relative, other.max_relative);
}

bool has_distances(std::string_view dtype) { return find_numbers(dtype) != nullptr; }

ElementDifference compare_elements(std::string_view dtype, uint32_t element_bytes, ByteView first,
                                   ElementFlags first_flags, ByteView second,
                                   ElementFlags second_flags, const Tolerance& tolerance) {
  const bool is_same_bytes = first_flags == second_flags &&
                             std::equal(first.begin(), first.end(), second.begin(), second.end());
  if (is_same_bytes) return {};
  const NamedCompare* numbers = find_numbers(dtype);
  const Compare compare = numbers != nullptr ? numbers->compare : compare_bytes;
  return compare({first, first_flags, second, second_flags}, element_bytes, tolerance);
}

}  // namespace tintype
