#include "io/archive/planes_decoder.h"

#include <algorithm>
#include <array>
#include <cstring>

#include <fmt/format.h>

#include "io/archive/byte_planes.h"
#include "io/archive/crc32.h"

namespace tintype {
namespace {

// From plane to plane in memory; as in the encoder, no multiple of a page.
constexpr size_t kPlaneStride = kRunElementsMax + 192;

Status impossible(std::string_view what) {
  return Status::corruption(fmt::format("{} in its run table", what));
}

bool is_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

}  // namespace

// Walks through header, run table and payload of an encoded extent, checking each number.
class PlanesDecoder::Tables {
 public:
  Tables(ByteView encoded, uint64_t plain_bytes) : encoded_(encoded), plain_bytes_(plain_bytes) {}

  Status open() {
    if (encoded_.size() < kExtentHeaderBytes || word(0) != kExtentMagic) {
      return Status::corruption("it does not begin as one");
    }
    payload_ = word(20);
    if (payload_ < kExtentHeaderBytes || payload_ > encoded_.size()) {
      return impossible("an impossible size");
    }
    tables_end_ = payload_;
    if (crc32(0, encoded_.subspan(8, tables_end_ - 8)) != word(4)) {
      return Status::corruption("the CRC-32 of its run table is another");
    }
    run_count_ = word(24);
    const bool is_expected = word(12) == plain_bytes_ && word(16) == encoded_.size();
    return is_expected ? Status::ok() : impossible("other sizes than in the file's");
  }

  uint32_t plain_crc() const { return word(8); }
  uint32_t run_count() const { return run_count_; }

  Result<PlaneRun> next_run() {
    if (tables_end_ - entry_ < kRunEntryBytes) return impossible("too many runs");
    PlaneRun run{.offset = word(entry_),
                 .size_bytes = word(entry_ + 4),
                 .width = std::to_integer<uint32_t>(encoded_[entry_ + 8]),
                 .is_rotated = encoded_[entry_ + 9] != std::byte{0}};
    kinds_ = load_little_endian<uint16_t>(encoded_, entry_ + 10);
    entry_ += kRunEntryBytes;
    if (run.width == 0 || run.width > kPlanesPerElementMax) return impossible("a width of no type");
    if (run.offset != plain_end_ || run.size_bytes == 0 || run.size_bytes % run.width != 0 ||
        run.size_bytes > plain_bytes_ - plain_end_) {
      return impossible("a run that does not fit");
    }
    if (run.width > 1 && run.size_bytes / run.width > kRunElementsMax) {
      return impossible("a run that is too long");
    }
    if (tables_end_ - entry_ < run.width * kPlaneEntryBytes) return impossible("too many planes");
    plain_end_ += run.size_bytes;
    return run;
  }

  struct Plane {
    ByteView bytes;
    PlaneKind kind = PlaneKind::raw;
  };

  // Called once for each plane of the run, in order.
  Result<Plane> next_plane(uint64_t plane_bytes) {
    const uint64_t size_bytes = word(entry_);
    entry_ += kPlaneEntryBytes;
    const auto kind = static_cast<PlaneKind>(kinds_ & 3u);
    kinds_ >>= 2;
    if (size_bytes > encoded_.size() - payload_ || size_bytes > plane_bytes ||
        (kind == PlaneKind::raw && size_bytes != plane_bytes) ||
        (kind == PlaneKind::constant && size_bytes != 1)) {
      return impossible("a plane that does not fit");
    }
    const Plane plane{encoded_.subspan(payload_, size_bytes), kind};
    payload_ += size_bytes;
    return plane;
  }

  Status close() const {
    if (plain_end_ != plain_bytes_) return impossible("too few runs");
    if (is_zero(encoded_.subspan(payload_))) return Status::ok();
    return Status::corruption("its padding is not zero");
  }

 private:
  uint32_t word(uint64_t offset) const { return load_little_endian<uint32_t>(encoded_, offset); }

  const ByteView encoded_;
  const uint64_t plain_bytes_;
  uint32_t run_count_ = 0;
  uint64_t tables_end_ = 0;
  uint64_t entry_ = kExtentHeaderBytes;  // where the next entry of the tables is
  uint64_t payload_ = 0;                 // where the next plane is
  uint64_t plain_end_ = 0;               // of the runs so far
  uint32_t kinds_ = 0;                   // of the run's planes that are left
};

std::optional<IndexedExtent> peek_planes_extent(ByteView header) {
  const auto word = [&](size_t offset) { return load_little_endian<uint32_t>(header, offset); };
  if (header.size() < kExtentHeaderBytes || word(0) != kExtentMagic) return std::nullopt;
  const IndexedExtent extent{.plain_bytes = word(12),
                             .encoded_bytes = word(16),
                             .payload_bytes = word(16),
                             .checksum = word(8)};
  return is_possible(extent) ? std::optional(extent) : std::nullopt;
}

PlanesDecoder::PlanesDecoder() : scratch_(kPlanesPerElementMax * kPlaneStride) {}

Status PlanesDecoder::decode(const IndexedExtent& extent, ByteView encoded, MutableBytes plain) {
  Tables tables(encoded, plain.size());
  TINTYPE_RETURN_IF_ERROR(tables.open());
  uint32_t crc = 0;
  for (uint32_t i = 0; i < tables.run_count(); ++i) {
    TINTYPE_ASSIGN_OR_RETURN(const PlaneRun run, tables.next_run());
    const MutableBytes elements = plain.subspan(run.offset, run.size_bytes);
    TINTYPE_RETURN_IF_ERROR(decode_run(run, tables, elements));
    crc = crc32(crc, elements);
  }
  TINTYPE_RETURN_IF_ERROR(tables.close());
  for (const uint32_t expected : {tables.plain_crc(), extent.checksum}) {
    if (crc == expected) continue;
    return Status::corruption(fmt::format("CRC-32 {:08x} instead of {:08x}", crc, expected));
  }
  return Status::ok();
}

Status PlanesDecoder::decode_run(const PlaneRun& run, Tables& tables, MutableBytes elements) {
  const size_t count = run.size_bytes / run.width;
  std::array<const std::byte*, kPlanesPerElementMax> planes = {};
  for (uint32_t b = 0; b < run.width; ++b) {
    TINTYPE_ASSIGN_OR_RETURN(const Tables::Plane plane, tables.next_plane(count));
    planes[b] = plane.bytes.data();
    if (plane.kind == PlaneKind::raw) continue;
    const MutableBytes place =
        run.width == 1 ? elements : MutableBytes(scratch_).subspan(b * kPlaneStride, count);
    planes[b] = place.data();
    if (plane.kind == PlaneKind::constant) {
      std::fill(place.begin(), place.end(), plane.bytes[0]);
    } else {
      TINTYPE_RETURN_IF_ERROR(decompressor_.decompress(plane.bytes, place));
    }
  }
  if (run.width > 1) {
    join_planes(std::span(planes).first(run.width), run.is_rotated, elements);
  } else if (planes[0] != elements.data()) {
    std::memcpy(elements.data(), planes[0], elements.size());
  }
  return Status::ok();
}

}  // namespace tintype
