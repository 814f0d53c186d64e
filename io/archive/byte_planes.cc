#include "io/archive/byte_planes.h"

#include <array>
#include <cstring>

#include "base/check.h"
#include "base/plane_index.h"
#include "io/archive/byte_planes_avx2.h"

namespace tintype {
namespace {

constexpr size_t kWidthMax = 8;

// As a copy of a size that the compiler knows, where elements have that size.
template <uint32_t width>
uint64_t load_element(const std::byte* place) {
  uint64_t element = 0;
  std::memcpy(&element, place, width);
  return element;
}

template <uint32_t width>
void split(ByteView elements, bool is_rotated, std::span<std::byte* const> planes) {
  const size_t count = elements.size() / width;
  for (size_t i = 0; i < count; ++i) {
    uint64_t element = load_element<width>(elements.data() + i * width);
    if (is_rotated) element = rotate_element_left(element, width);
    for (uint32_t b = 0; b < width; ++b) planes[b][i] = element_byte(element, b);
  }
}

template <uint32_t width>
void join(std::span<const std::byte* const> planes, bool is_rotated, MutableBytes elements) {
  const size_t count = elements.size() / width;
  for (size_t i = 0; i < count; ++i) {
    uint64_t element = 0;
    for (uint32_t b = 0; b < width; ++b)
      element |= std::to_integer<uint64_t>(planes[b][i]) << (8 * b);
    if (is_rotated) element = rotate_element_right(element, width);
    std::memcpy(elements.data() + i * width, &element, width);
  }
}

}  // namespace

void portable::split_planes(ByteView elements, bool is_rotated,
                            std::span<std::byte* const> planes) {
  switch (planes.size()) {
    case 1: return split<1>(elements, is_rotated, planes);
    case 2: return split<2>(elements, is_rotated, planes);
    case 3: return split<3>(elements, is_rotated, planes);
    case 4: return split<4>(elements, is_rotated, planes);
    case 5: return split<5>(elements, is_rotated, planes);
    case 6: return split<6>(elements, is_rotated, planes);
    case 7: return split<7>(elements, is_rotated, planes);
    case 8: return split<8>(elements, is_rotated, planes);
    default: TINTYPE_CHECK(false);
  }
}

void portable::join_planes(std::span<const std::byte* const> planes, bool is_rotated,
                           MutableBytes elements) {
  switch (planes.size()) {
    case 1: return join<1>(planes, is_rotated, elements);
    case 2: return join<2>(planes, is_rotated, elements);
    case 3: return join<3>(planes, is_rotated, elements);
    case 4: return join<4>(planes, is_rotated, elements);
    case 5: return join<5>(planes, is_rotated, elements);
    case 6: return join<6>(planes, is_rotated, elements);
    case 7: return join<7>(planes, is_rotated, elements);
    case 8: return join<8>(planes, is_rotated, elements);
    default: TINTYPE_CHECK(false);
  }
}

namespace {

template <typename Place>
std::array<Place, kWidthMax> behind(std::span<Place const> planes, size_t count) {
  std::array<Place, kWidthMax> rests = {};
  for (size_t b = 0; b < planes.size(); ++b) rests[b] = planes[b] + count;
  return rests;
}

const bool kHasAvx2 = avx2::is_here();

}  // namespace

void split_planes(ByteView elements, bool is_rotated, std::span<std::byte* const> planes) {
  TINTYPE_CHECK(!planes.empty() && planes.size() <= kWidthMax);
  const size_t done = kHasAvx2 ? avx2::split_planes(elements, is_rotated, planes) : 0;
  const auto rests = behind<std::byte*>(planes, done);
  portable::split_planes(elements.subspan(done * planes.size()), is_rotated,
                         std::span(rests).first(planes.size()));
}

void join_planes(std::span<const std::byte* const> planes, bool is_rotated, MutableBytes elements) {
  TINTYPE_CHECK(!planes.empty() && planes.size() <= kWidthMax);
  const size_t done = kHasAvx2 ? avx2::join_planes(planes, is_rotated, elements) : 0;
  const auto rests = behind<const std::byte*>(planes, done);
  portable::join_planes(std::span(rests).first(planes.size()), is_rotated,
                        elements.subspan(done * planes.size()));
}

}  // namespace tintype
