#include "io/archive/plane_sample.h"

#include <algorithm>
#include <cmath>

#include "base/plane_index.h"
#include "io/archive/byte_planes.h"

namespace tintype {
namespace {

// Above so many bits per byte a Huffman code saves less than it costs to make and to undo.
constexpr double kRawBits = 7.8;
// No Huffman code has less than one bit per byte; matches do.
constexpr double kMatchBits = 1;
// A byte is in a run where it equals so many before it. Neighbours are often equal without that,
// and then matches find nothing.
constexpr uint32_t kRunLength = 8;
constexpr double kRunShare = 0.25;  // of bytes in runs where matches are worth a search
// The sample is taken in so many stretches, so that repeats show within one.
constexpr size_t kStretches = 2;
constexpr size_t kCountMax = 1024;

// n * log2(n): all that entropies of a sample are made of.
const std::array<float, kCountMax + 1>& weighted_logarithms() {
  static const auto kTable = [] {
    std::array<float, kCountMax + 1> values = {};
    for (size_t n = 1; n <= kCountMax; ++n) {
      values[n] = static_cast<float>(static_cast<double>(n) * std::log2(static_cast<double>(n)));
    }
    return values;
  }();
  return kTable;
}

// Of bytes in runs.
double run_share(ByteView plane) {
  uint32_t length = 0;
  size_t count = 0;
  for (size_t i = 1; i < plane.size(); ++i) {
    length = plane[i] == plane[i - 1] ? length + 1 : 0;
    count += length >= kRunLength ? 1 : 0;
  }
  return static_cast<double>(count) / static_cast<double>(plane.size());
}

// Per byte, by the frequencies of the bytes.
double entropy_bits(ByteView plane) {
  std::array<std::array<uint16_t, 256>, 4> counts = {};  // four, so that no count waits for itself
  for (size_t i = 0; i < plane.size(); ++i) ++counts[i % 4][std::to_integer<size_t>(plane[i])];
  const auto& logarithms = weighted_logarithms();
  const auto total = static_cast<double>(plane.size());
  double weighted = 0;
  int symbol_count = 0;
  for (size_t symbol = 0; symbol < 256; ++symbol) {
    const uint32_t count =
        uint32_t{counts[0][symbol]} + counts[1][symbol] + counts[2][symbol] + counts[3][symbol];
    weighted += logarithms[count];
    symbol_count += count != 0 ? 1 : 0;
  }
  // The last term: a small sample looks more regular than what it is taken from.
  return std::log2(total) - weighted / total + (symbol_count - 1) / (2 * total * std::log(2.0));
}

PlaneKind kind_of(ByteView plane) {
  const double bits = entropy_bits(plane);
  if (bits < kMatchBits || run_share(plane) > kRunShare) return PlaneKind::matches;
  return bits > kRawBits ? PlaneKind::raw : PlaneKind::huffman;
}

}  // namespace

// Which elements of a run are looked at.
struct PlaneSampler::Stretches {
  explicit Stretches(size_t element_count)
      : count(element_count <= kSampleElements ? 1 : kStretches),
        elements(std::min(element_count, kSampleElements / count)),
        step(count == 1 ? 0 : (element_count - elements) / (count - 1)) {}

  size_t count;
  size_t elements;  // of one
  size_t step;      // from one to the next
};

PlaneKinds PlaneSampler::choose(ByteView elements, uint32_t width, bool is_rotated) {
  const Stretches stretches(elements.size() / width);
  for (size_t i = 0; i < stretches.count; ++i) {
    std::array<std::byte*, kPlanesPerElementMax> places = {};
    for (uint32_t b = 0; b < width; ++b) {
      places[b] = memory_.data() + b * kSampleElements + i * stretches.elements;
    }
    split_planes(elements.subspan(i * stretches.step * width, stretches.elements * width),
                 is_rotated, std::span(places).first(width));
  }
  return judge(width, stretches.count * stretches.elements);
}

PlaneKinds PlaneSampler::choose_split(ByteView planes, uint32_t width) {
  const size_t count = planes.size() / width;
  const Stretches stretches(count);
  for (uint32_t b = 0; b < width; ++b) {
    std::byte* place = memory_.data() + b * kSampleElements;
    for (size_t i = 0; i < stretches.count; ++i, place += stretches.elements) {
      const ByteView stretch =
          planes.subspan(plane_index(i * stretches.step, b, count), stretches.elements);
      std::copy(stretch.begin(), stretch.end(), place);
    }
  }
  return judge(width, stretches.count * stretches.elements);
}

PlaneKinds PlaneSampler::judge(uint32_t width, size_t count) const {
  static_assert(kSampleElements <= kCountMax);
  PlaneKinds kinds = {};
  for (uint32_t b = 0; b < width; ++b) {
    kinds[b] = kind_of(ByteView(memory_).subspan(b * kSampleElements, count));
  }
  return kinds;
}

}  // namespace tintype
