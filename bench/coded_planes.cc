#include "bench/coded_planes.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "io/archive/byte_planes.h"

namespace tintype {
namespace {

PlaneKind kind_of(uint32_t kinds, uint32_t plane) {
  return static_cast<PlaneKind>((kinds >> (2 * plane)) & 3u);
}

bool is_coded(PlaneKind kind) { return kind == PlaneKind::huffman || kind == PlaneKind::matches; }

}  // namespace

CodedPlanes::CodedPlanes()
    : encoder_(ExtentEncoder::create({.form = FileForm::planes}).value()),
      huffman_(has_huffman_mode() ? kZstdFastestLevel : 1,
               has_huffman_mode() ? ZstdCompressor::Literals::huffman
                                  : ZstdCompressor::Literals::by_level,
               false),
      matches_(1, ZstdCompressor::Literals::by_level, false),
      decoded_(kRunElementsMax) {}

// By the run table of the encoded extent (io/archive/FORMAT.md).
void CodedPlanes::prepare(ByteView plain, std::span<const ElementRun> runs) {
  ByteVector memory(encoded_bound_bytes(plain.size()));
  const EncodedExtent extent = encoder_->encode(plain, runs, memory).value();
  std::vector<Plane>& kept = planes_[plain.data()];
  if (extent.is_raw) return;
  const ByteView encoded = ByteView(memory).first(extent.encoded_bytes);
  const auto word = [&](uint64_t offset) { return load_little_endian<uint32_t>(encoded, offset); };
  uint64_t payload = word(20);
  uint64_t entry = kExtentHeaderBytes;
  for (uint32_t i = 0; i < word(24); ++i) {
    const PlaneRun run{.offset = word(entry),
                       .size_bytes = word(entry + 4),
                       .width = std::to_integer<uint32_t>(encoded[entry + 8]),
                       .is_rotated = encoded[entry + 9] != std::byte{0}};
    size_t next = kept.size();
    const auto kinds = load_little_endian<uint16_t>(encoded, entry + 10);
    keep_planes(run, kinds, plain.subspan(run.offset, run.size_bytes), kept);
    entry += kRunEntryBytes;
    for (uint32_t b = 0; b < run.width; ++b) {
      const ByteView frame = encoded.subspan(payload, word(entry));
      if (is_coded(kind_of(kinds, b))) kept[next++].frame.assign(frame.begin(), frame.end());
      payload += frame.size();
      entry += kPlaneEntryBytes;
    }
  }
}

void CodedPlanes::keep_planes(const PlaneRun& run, uint32_t kinds, ByteView elements,
                              std::vector<Plane>& kept) const {
  const size_t count = run.size_bytes / run.width;
  std::array<ByteVector, kPlanesPerElementMax> planes;
  std::array<std::byte*, kPlanesPerElementMax> places = {};
  for (uint32_t b = 0; b < run.width; ++b) {
    planes[b].resize(count);
    places[b] = planes[b].data();
  }
  if (run.width == 1) {
    std::copy(elements.begin(), elements.end(), planes[0].begin());
  } else {
    split_planes(elements, run.is_rotated, std::span(places).first(run.width));
  }
  for (uint32_t b = 0; b < run.width; ++b) {
    const PlaneKind kind = kind_of(kinds, b);
    if (is_coded(kind)) kept.push_back({kind, std::move(planes[b]), {}});
  }
}

size_t CodedPlanes::encode(ByteView plain, MutableBytes target) {
  size_t size_bytes = 0;
  for (const Plane& plane : planes_.at(plain.data())) {
    ZstdCompressor& compressor = plane.kind == PlaneKind::huffman ? huffman_ : matches_;
    const size_t count = compressor.compress(plane.bytes, target.subspan(size_bytes)).value();
    TINTYPE_CHECK(count != 0);
    size_bytes += count;
  }
  return size_bytes;
}

void CodedPlanes::decode(ByteView plain) {
  for (const Plane& plane : planes_.at(plain.data())) {
    const MutableBytes target = MutableBytes(decoded_).first(plane.bytes.size());
    TINTYPE_CHECK(decompressor_.decompress(plane.frame, target).is_ok());
  }
}

}  // namespace tintype
