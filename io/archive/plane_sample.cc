#include "io/archive/plane_sample.h"

#include <algorithm>
#include <cmath>

#include "io/archive/byte_planes.h"

namespace tintype {
namespace {

// Above so many bits per byte a Huffman code saves less than it costs to make and to undo.
constexpr double kRawBits = 7.8;
// The sample is taken in so many stretches: matches show only within one.
constexpr size_t kStretches = 2;
// How much smaller than by its frequencies a sample has to become for matches to pay: searching
// them takes twice the time.
constexpr double kMatchGain = 0.85;

// Bits per byte by the frequencies of the bytes, corrected for the sample being small.
double entropy_bits(ByteView plane) {
  std::array<std::array<uint32_t, 256>, 4> counts = {};  // four, so that no count waits for itself
  for (size_t i = 0; i < plane.size(); ++i) ++counts[i % 4][std::to_integer<size_t>(plane[i])];
  const auto total = static_cast<double>(plane.size());
  double bits = 0;
  uint32_t symbol_count = 0;
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    uint32_t count = 0;
    for (const auto& part : counts) count += part[symbol];
    if (count == 0) continue;
    ++symbol_count;
    bits -= count / total * std::log2(count / total);
  }
  return bits + (symbol_count - 1) / (2 * total * std::log(2.0));
}

double stored_bits(double bits) { return bits > kRawBits ? 8 : bits; }

}  // namespace

bool PlaneChoice::is_all_raw(uint32_t width) const {
  return std::all_of(kinds.begin(), kinds.begin() + width,
                     [](PlaneKind kind) { return kind == PlaneKind::raw; });
}

size_t PlaneSampler::sample(ByteView elements, uint32_t width, bool is_rotated,
                            const Planes& planes) {
  const size_t count = elements.size() / width;
  if (count <= kSampleElements) {
    split_planes(elements, is_rotated, std::span(planes).first(width));
    return count;
  }
  constexpr size_t kStretchElements = kSampleElements / kStretches;
  Planes places = planes;
  for (size_t i = 0; i < kStretches; ++i) {
    const size_t first = (count - kStretchElements) / (kStretches - 1) * i;
    split_planes(elements.subspan(first * width, kStretchElements * width), is_rotated,
                 std::span(places).first(width));
    for (std::byte*& place : places) place += kStretchElements;
  }
  return kSampleElements;
}

Result<PlaneKind> PlaneSampler::choose_kind(ByteView plane, double bits) {
  const MutableBytes room = MutableBytes(memory_).last(kSampleElements);
  const double expected_bytes = static_cast<double>(plane.size()) * std::min(bits, 8.0) / 8;
  TINTYPE_ASSIGN_OR_RETURN(const size_t matched_bytes, matches_.compress(plane, room));
  if (matched_bytes != 0 && static_cast<double>(matched_bytes) < kMatchGain * expected_bytes) {
    return PlaneKind::matches;
  }
  return bits > kRawBits ? PlaneKind::raw : PlaneKind::huffman;
}

Result<PlaneChoice> PlaneSampler::choose(ByteView elements, uint32_t width) {
  PlaneChoice choice;
  double least_bits = 8.0 * kPlanesPerElementMax + 1;
  std::array<double, kPlanesPerElementMax> chosen_bits = {};
  size_t count = 0;
  std::array<Planes, 2> planes;
  for (size_t p = 0; p < planes.size() * kPlanesPerElementMax; ++p) {
    planes[p / kPlanesPerElementMax][p % kPlanesPerElementMax] =
        memory_.data() + p * kSampleElements;
  }
  for (const bool is_rotated : {false, true}) {
    if (is_rotated && width == 1) break;
    count = sample(elements, width, is_rotated, planes[is_rotated]);
    std::array<double, kPlanesPerElementMax> bits = {};
    double total_bits = 0;
    for (uint32_t b = 0; b < width; ++b) {
      bits[b] = entropy_bits({planes[is_rotated][b], count});
      total_bits += stored_bits(bits[b]);
    }
    if (total_bits >= least_bits) continue;
    least_bits = total_bits;
    chosen_bits = bits;
    choice.is_rotated = is_rotated;
  }
  for (uint32_t b = 0; b < width; ++b) {
    TINTYPE_ASSIGN_OR_RETURN(choice.kinds[b],
                             choose_kind({planes[choice.is_rotated][b], count}, chosen_bits[b]));
  }
  return choice;
}

}  // namespace tintype
