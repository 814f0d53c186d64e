#include "io/archive/planes_encoder.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/plane_index.h"
#include "io/archive/byte_planes.h"
#include "io/archive/crc32.h"
#include "io/archive/extent_padding.h"
#include "io/archive/plane_runs.h"

namespace tintype {
namespace {

// From plane to plane of a run; cut_plane_runs() cuts where a piece and a half is left. No multiple
// of a page: places that are equal in their last 12 bits get into each other's way in the cache.
constexpr size_t kPlaneStride = kRunElements + kRunElements / 2 + 192;

bool is_constant(ByteView plane) {
  return std::memcmp(plane.data(), plane.data() + 1, plane.size() - 1) == 0;
}

bool is_all_raw(std::span<const PlaneKind> kinds) {
  return std::all_of(kinds.begin(), kinds.end(),
                     [](PlaneKind kind) { return kind == PlaneKind::raw; });
}

uint64_t tables_bytes(std::span<const SplitExtent::Run> runs) {
  uint64_t size_bytes = kExtentHeaderBytes;
  for (const auto& run : runs) size_bytes += kRunEntryBytes + run.planes.width * kPlaneEntryBytes;
  return size_bytes;
}

// The planes of a run that arrived split.
std::array<ByteView, kPlanesPerElementMax> views_of(ByteView planes, uint32_t width) {
  std::array<ByteView, kPlanesPerElementMax> views;
  const size_t count = planes.size() / width;
  for (uint32_t b = 0; b < width; ++b) views[b] = planes.subspan(plane_index(0, b, count), count);
  return views;
}

void join(const PlaneRun& run, ByteView planes, MutableBytes elements) {
  std::array<const std::byte*, kPlanesPerElementMax> places = {};
  const auto views = views_of(planes, run.width);
  for (uint32_t b = 0; b < run.width; ++b) places[b] = views[b].data();
  join_planes(std::span(places).first(run.width), run.is_rotated, elements);
}

}  // namespace

struct PlanesEncoder::Extent {
  ByteView bytes;
  MutableBytes target;
  const SplitExtent* split = nullptr;  // null: the bytes are the plain ones
  uint32_t plain_crc = 0;
  uint32_t run_count = 0;
  uint64_t table_end = kExtentHeaderBytes;
  uint64_t payload_offset = 0;
  uint64_t payload_end = 0;
  uint64_t limit = 0;  // of payload_end: beyond, raw is smaller

  uint64_t room_bytes() const { return limit - payload_end; }

  void add_run(const PlaneRun& run, std::span<const PlaneKind> plane_kinds,
               std::span<const uint32_t> plane_bytes) {
    uint32_t kinds = 0;
    for (uint32_t b = 0; b < run.width; ++b) {
      kinds |= static_cast<uint32_t>(plane_kinds[b]) << (2 * b);
    }
    store_little_endian(target, table_end, run.offset);
    store_little_endian(target, table_end + 4, run.size_bytes);
    store_little_endian(target, table_end + 8, static_cast<uint8_t>(run.width));
    store_little_endian(target, table_end + 9, static_cast<uint8_t>(run.is_rotated));
    store_little_endian(target, table_end + 10, static_cast<uint16_t>(kinds));
    table_end += kRunEntryBytes;
    for (uint32_t b = 0; b < run.width; ++b, table_end += kPlaneEntryBytes) {
      store_little_endian(target, table_end, plane_bytes[b]);
    }
    ++run_count;
  }

  EncodedExtent finish() {
    std::fill(target.begin() + static_cast<ptrdiff_t>(table_end),
              target.begin() + static_cast<ptrdiff_t>(payload_offset), std::byte{0});
    if (split != nullptr) plain_crc = split->plain_crc;
    const uint64_t encoded_bytes = padded_extent_bytes(bytes.size(), payload_end, 0);
    store_little_endian(target, 0, kExtentMagic);
    store_little_endian(target, 8, plain_crc);
    store_little_endian(target, 12, static_cast<uint32_t>(bytes.size()));
    store_little_endian(target, 16, static_cast<uint32_t>(encoded_bytes));
    store_little_endian(target, 20, static_cast<uint32_t>(payload_offset));
    store_little_endian(target, 24, run_count);
    store_little_endian(target, 28, uint32_t{0});
    store_little_endian(target, 4, crc32(0, ByteView(target).subspan(8, payload_offset - 8)));
    std::fill(target.begin() + static_cast<ptrdiff_t>(payload_end),
              target.begin() + static_cast<ptrdiff_t>(encoded_bytes), std::byte{0});
    return {.plain_bytes = bytes.size(),
            .encoded_bytes = encoded_bytes,
            .payload_bytes = payload_end,
            .checksum = plain_crc};
  }

  // One run of single bytes.
  EncodedExtent finish_raw() {
    table_end = kExtentHeaderBytes;
    run_count = 0;
    const auto size_bytes = static_cast<uint32_t>(bytes.size());
    const auto kind = PlaneKind::raw;
    add_run({.size_bytes = size_bytes}, std::span(&kind, 1), std::span(&size_bytes, 1));
    payload_offset = table_end;
    put_plain(target.subspan(payload_offset, size_bytes));
    payload_end = payload_offset + size_bytes;
    EncodedExtent encoded = finish();
    encoded.is_raw = true;
    return encoded;
  }

  void put_plain(MutableBytes place) {
    if (split == nullptr) {
      plain_crc = copy_with_crc32(place, bytes);
      return;
    }
    for (const auto& [run, is_split] : split->runs) {
      const ByteView from = bytes.subspan(run.offset, run.size_bytes);
      const MutableBytes to = place.subspan(run.offset, run.size_bytes);
      if (is_split) {
        join(run, from, to);
      } else {
        std::memcpy(to.data(), from.data(), from.size());
      }
    }
  }
};

PlanesEncoder::PlanesEncoder()
    : huffman_(has_huffman_mode() ? kZstdFastestLevel : 1,
               has_huffman_mode() ? ZstdCompressor::Literals::huffman
                                  : ZstdCompressor::Literals::by_level,
               false),
      matches_(1, ZstdCompressor::Literals::by_level, false),
      scratch_(kPlanesPerElementMax * kPlaneStride) {}

Result<EncodedExtent> PlanesEncoder::encode(ByteView plain, std::span<const ElementRun> runs,
                                            MutableBytes target, Coding coding) {
  Extent extent{.bytes = plain, .target = target};
  std::vector<SplitExtent::Run> plain_runs;
  if (coding != Coding::raw) {
    for (const PlaneRun& run : cut_plane_runs(plain.size(), runs)) plain_runs.push_back({run});
  }
  return encode_runs(plain_runs, coding, extent);
}

Result<EncodedExtent> PlanesEncoder::encode_split(ByteView bytes, const SplitExtent& split,
                                                  MutableBytes target, Coding coding) {
  Extent extent{.bytes = bytes, .target = target, .split = &split};
  return encode_runs(split.runs, coding, extent);
}

Result<EncodedExtent> PlanesEncoder::encode_runs(std::span<const SplitExtent::Run> runs,
                                                 Coding coding, Extent& extent) {
  TINTYPE_CHECK(!extent.bytes.empty() && extent.bytes.size() <= kPlainExtentBytesMax);
  TINTYPE_CHECK(extent.target.size() >= encoded_bound_bytes(extent.bytes.size()));
  if (coding == Coding::raw) return extent.finish_raw();
  TINTYPE_ASSIGN_OR_RETURN(const bool is_smaller, encode_if_smaller(runs, extent));
  return is_smaller ? extent.finish() : extent.finish_raw();
}

// False where the extent does not shrink.
Result<bool> PlanesEncoder::encode_if_smaller(std::span<const SplitExtent::Run> runs,
                                              Extent& extent) {
  extent.payload_offset = extent.payload_end = tables_bytes(runs);
  extent.limit = extent.bytes.size();
  if (extent.payload_end > extent.limit) return false;
  for (const SplitExtent::Run& run : runs) {
    TINTYPE_ASSIGN_OR_RETURN(const bool is_smaller, encode_run(run, extent));
    if (!is_smaller) return false;
  }
  return true;
}

Result<bool> PlanesEncoder::encode_run(const SplitExtent::Run& arrived, Extent& extent) {
  PlaneRun run = arrived.planes;
  const ByteView bytes = extent.bytes.subspan(run.offset, run.size_bytes);
  if (extent.split == nullptr) {
    extent.plain_crc = crc32(extent.plain_crc, bytes);  // which brings them into the cache
  }
  PlaneKinds kinds = arrived.is_split ? sampler_.choose_split(bytes, run.width)
                                      : sampler_.choose(bytes, run.width, run.is_rotated);
  const bool is_raw = is_all_raw(std::span(kinds).first(run.width));  // planes would gain nothing
  const Planes planes = is_raw             ? Planes{as_elements(arrived, bytes)}
                        : arrived.is_split ? views_of(bytes, run.width)
                                           : split(run, kinds, bytes, extent);
  if (is_raw) {
    run.width = 1;
    run.is_rotated = false;
  }
  std::array<uint32_t, kPlanesPerElementMax> plane_bytes = {};
  for (uint32_t b = 0; b < run.width; ++b) {
    const uint64_t begin = extent.payload_end;
    TINTYPE_ASSIGN_OR_RETURN(const bool is_stored, encode_plane(planes[b], kinds[b], extent));
    if (!is_stored) return false;
    plane_bytes[b] = static_cast<uint32_t>(extent.payload_end - begin);
  }
  extent.add_run(run, kinds, plane_bytes);
  return true;
}

// The plain bytes of a run.
ByteView PlanesEncoder::as_elements(const SplitExtent::Run& arrived, ByteView bytes) {
  if (!arrived.is_split) return bytes;
  const MutableBytes elements = MutableBytes(scratch_).first(bytes.size());
  join(arrived.planes, bytes, elements);
  return elements;
}

// Raw planes in front of the first coded one go straight to where they stay.
PlanesEncoder::Planes PlanesEncoder::split(const PlaneRun& run, const PlaneKinds& kinds,
                                           ByteView elements, const Extent& extent) {
  if (run.width == 1) return {elements};
  const size_t count = run.size_bytes / run.width;
  Planes planes;
  std::array<std::byte*, kPlanesPerElementMax> places = {};
  uint64_t place = extent.payload_end;
  for (uint32_t b = 0; b < run.width; ++b) {
    const bool is_in_place =
        place != 0 && kinds[b] == PlaneKind::raw && place + count <= extent.limit;
    places[b] = is_in_place ? extent.target.data() + place : scratch_.data() + b * kPlaneStride;
    place = is_in_place ? place + count : 0;
    planes[b] = {places[b], count};
  }
  split_planes(elements, run.is_rotated, std::span(places).first(run.width));
  return planes;
}

// Appends a plane; false where there is no room for it. A plane that does not shrink becomes raw.
Result<bool> PlanesEncoder::encode_plane(ByteView plane, PlaneKind& kind, Extent& extent) {
  const size_t room = std::min<uint64_t>(extent.room_bytes(), plane.size());
  const MutableBytes place = extent.target.subspan(extent.payload_end, room);
  if (kind == PlaneKind::matches && is_constant(plane)) {
    kind = PlaneKind::constant;
    plane = plane.first(1);
  } else if (kind != PlaneKind::raw) {
    ZstdCompressor& compressor = kind == PlaneKind::huffman ? huffman_ : matches_;
    TINTYPE_ASSIGN_OR_RETURN(const size_t size, compressor.compress(plane, place));
    extent.payload_end += size;
    if (size != 0) return true;
    kind = PlaneKind::raw;
  }
  if (room < plane.size()) return false;
  if (place.data() != plane.data()) std::memcpy(place.data(), plane.data(), plane.size());
  extent.payload_end += plane.size();
  return true;
}

}  // namespace tintype
