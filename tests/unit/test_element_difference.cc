// Distances between elements of every type of torch's. tests/command compares them with torch's own
// arithmetic; here are the rules.
#include <cmath>
#include <complex>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "engine/diff/element_difference.h"

namespace tintype {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <typename T>
ByteView bytes_of(const std::vector<T>& values) {
  return std::as_bytes(std::span(values));
}

template <typename T>
ElementDifference compare(std::string_view dtype, const std::vector<T>& first,
                          const std::vector<T>& second, const Tolerance& tolerance = {},
                          ElementFlags second_flags = {}) {
  return compare_elements(dtype, sizeof(T), bytes_of(first), {}, bytes_of(second), second_flags,
                          tolerance);
}

TEST(ElementDifference, counts_what_differs_and_keeps_the_largest_distances) {
  const auto found = compare<float>("float32", {1, 2, 3, 100}, {1, 2.5, 3, 90});
  EXPECT_EQ(found.differing_count, 2u);
  EXPECT_EQ(found.max_absolute, 10);
  EXPECT_EQ(found.max_relative, .2);
}

TEST(ElementDifference, nan_agrees_with_nan_and_zero_with_minus_zero) {
  EXPECT_EQ(compare<double>("float64", {kNan, 0.0}, {-kNan, -0.0}).differing_count, 0u);
}

TEST(ElementDifference, nan_and_infinity_against_a_number_differ_without_a_distance) {
  const auto found = compare<double>("float64", {kNan, kInfinity, kInfinity, 7, kInfinity},
                                     {1, 2, -kInfinity, 5, kInfinity}, {.absolute = 1e300});
  EXPECT_EQ(found.differing_count, 3u);
  EXPECT_EQ(found.nonfinite_count, 3u);
  EXPECT_EQ(found.max_absolute, 2);
}

TEST(ElementDifference, within_the_tolerance_elements_agree_and_still_count_in_the_maximum) {
  const std::vector<double> first{1, 100};
  const std::vector<double> second{1.25, 101};
  EXPECT_EQ(compare("float64", first, second, {.absolute = .25}).differing_count, 1u);
  EXPECT_EQ(compare("float64", first, second, {.absolute = 1}).differing_count, 0u);
  EXPECT_EQ(compare("float64", first, second, {.relative = .01}).differing_count, 1u);
  EXPECT_EQ(compare("float64", first, second, {.absolute = .25, .relative = .01}).differing_count,
            0u);
  EXPECT_EQ(compare("float64", first, second, {.absolute = 1}).max_absolute, 1);
}

TEST(ElementDifference, distances_beyond_the_largest_double_are_compared_all_the_same) {
  constexpr double kFar = 1e308;
  const auto expect = [](const ElementDifference& found, uint64_t count, double relative) {
    EXPECT_EQ(found.differing_count, count);
    EXPECT_EQ(found.nonfinite_count, 0u);
    EXPECT_EQ(found.max_absolute, kInfinity);
    EXPECT_DOUBLE_EQ(found.max_relative, relative);
  };
  const std::vector<double> first{kFar, -kFar};
  const std::vector<double> second{-kFar, kFar};
  expect(compare("float64", first, second, {.relative = 1.8}), 2, 2);
  expect(compare("float64", first, second, {.relative = 2}), 0, 2);
  expect(compare("float64", first, second, {.absolute = 1.7e308}), 2, 2);
  expect(compare("float64", first, second, {.absolute = kInfinity}), 0, 2);
  expect(compare<double>("float64", {1.5e308}, {-.5e308}, {.relative = 1.3}), 1, 4 / 3.);

  using Complex = std::complex<double>;
  const auto compare_complex = [](Complex one, Complex other, double relative) {
    return compare<Complex>("complex128", {one}, {other}, {.relative = relative});
  };
  const double root = std::sqrt(2.0);
  expect(compare_complex({kFar, 0}, {-kFar, 0}, 1.8), 1, 2);
  expect(compare_complex({1.7e308, 0}, {0, 1.7e308}, 1.4), 1, root);
  expect(compare_complex({1.7e308, 1.7e308}, {-1.7e308, -1.7e308}, 1.9), 1, 2);
  const auto near = compare_complex({1.7e308, 1.7e308}, {1.6e308, 1.7e308}, 0);
  EXPECT_DOUBLE_EQ(near.max_absolute, .1e308);
  EXPECT_NEAR(near.max_relative, .1 / (1.7 * root), 1e-12);
}

TEST(ElementDifference, integers_are_told_apart_where_doubles_cannot) {
  constexpr int64_t kBig = int64_t{1} << 60;
  const auto near = compare<int64_t>("int64", {kBig}, {kBig + 1});
  EXPECT_EQ(near.differing_count, 1u);
  EXPECT_EQ(near.max_absolute, 1);
  const auto far = compare<int64_t>("int64", {std::numeric_limits<int64_t>::min()},
                                    {std::numeric_limits<int64_t>::max()});
  EXPECT_EQ(far.max_absolute, std::ldexp(1.0, 64));
  EXPECT_EQ(compare<int8_t>("int8", {-128}, {127}).max_absolute, 255);
  EXPECT_EQ(compare<uint64_t>("uint64", {0}, {~uint64_t{0}}).max_relative, 1);
}

TEST(ElementDifference, truth_values_are_zero_or_one) {
  EXPECT_EQ(compare<uint8_t>("bool", {0, 1, 2}, {0, 2, 0}).differing_count, 1u);
  EXPECT_EQ(compare<uint8_t>("bool", {255}, {0}).max_absolute, 1);
}

TEST(ElementDifference, small_floats_have_the_values_of_their_formats) {
  const auto distance_from_0 = [](std::string_view dtype, uint8_t bits) {
    return compare<uint8_t>(dtype, {bits}, {0}).max_absolute;
  };
  EXPECT_EQ(distance_from_0("float8_e4m3fn", 0x7E), 448);
  EXPECT_EQ(distance_from_0("float8_e4m3fnuz", 0x7F), 240);
  EXPECT_EQ(distance_from_0("float8_e5m2", 0x7B), 57344);
  EXPECT_EQ(distance_from_0("float8_e5m2fnuz", 0x7F), 57344);
  EXPECT_EQ(distance_from_0("float8_e5m2", 0x01), std::ldexp(1.0, -16));
  EXPECT_EQ(compare<uint16_t>("float16", {0x7BFF}, {0}).max_absolute, 65504);
  EXPECT_EQ(compare<uint16_t>("bfloat16", {0x3F80}, {0x4000}).max_absolute, 1);
  EXPECT_EQ(compare<uint8_t>("float8_e8m0fnu", {127}, {130}).max_absolute, 7);
  EXPECT_EQ(compare<uint8_t>("float8_e4m3fnuz", {0x80}, {0}).nonfinite_count, 1u);
}

TEST(ElementDifference, complex_numbers_lie_apart_in_the_plane) {
  using Complex = std::complex<float>;
  const auto found = compare<Complex>("complex64", {{0, 0}, {1, 1}}, {{3, 4}, {1, 1}});
  EXPECT_EQ(found.differing_count, 1u);
  EXPECT_EQ(found.max_absolute, 5);
  EXPECT_EQ(found.max_relative, 1);
}

TEST(ElementDifference, flags_of_lazy_conjugates_and_negatives_are_applied) {
  using Complex = std::complex<float>;
  const ElementFlags conjugate{.is_conjugate = true};
  EXPECT_EQ(compare<Complex>("complex64", {{1, -2}}, {{1, 2}}, {}, conjugate).differing_count, 0u);
  EXPECT_EQ(compare<Complex>("complex64", {{1, 2}}, {{1, 2}}, {}, conjugate).max_absolute, 4);
  const ElementFlags negative{.is_negative = true};
  EXPECT_EQ(compare<float>("float32", {-5}, {5}, {}, negative).differing_count, 0u);
}

TEST(ElementDifference, packed_types_are_compared_by_their_bytes) {
  EXPECT_FALSE(has_distances("quint4x2"));
  EXPECT_TRUE(has_distances("bfloat16"));
  const auto found = compare<uint8_t>("quint4x2", {1, 2, 3}, {1, 9, 3});
  EXPECT_EQ(found.differing_count, 1u);
  EXPECT_EQ(found.max_absolute, 0);
}

TEST(ElementDifference, pieces_add_up) {
  ElementDifference sum = compare<float>("float32", {1, 2}, {1, 4});
  sum.add(compare<float>("float32", {10}, {11}));
  EXPECT_EQ(sum.differing_count, 2u);
  EXPECT_EQ(sum.max_absolute, 2);
  EXPECT_EQ(sum.max_relative, .5);
}

}  // namespace
}  // namespace tintype
