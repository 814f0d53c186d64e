#include "engine/split_filling.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/crc32_combine.h"
#include "engine/device/host_device.h"

namespace tintype {

std::unique_ptr<SplitFilling> SplitFilling::make(std::span<const PlaneRun> runs,
                                                 std::span<const Segment> segments,
                                                 const std::vector<SourceStorage>& storages,
                                                 const SourceOf& source_of, MutableBytes bytes) {
  std::unique_ptr<SplitFilling> filling(new SplitFilling(segments, storages, bytes));
  for (const PlaneRun& run : runs) filling->extent_.runs.push_back({run, false});
  filling->cut_into_parts();
  bool is_any_split = false;
  for (size_t run = 0; run < runs.size(); ++run) {
    const bool is_split = filling->is_to_be_split(run, source_of);
    filling->extent_.runs[run].is_split = is_split;
    is_any_split = is_any_split || is_split;
  }
  return is_any_split ? std::move(filling) : nullptr;
}

void SplitFilling::cut_into_parts() {
  size_t run = 0;
  for (size_t i = 0; i < segments_.size(); ++i) {
    first_parts_.push_back(parts_.size());
    const uint64_t end = segments_[i].extent_offset + segments_[i].size_bytes;
    for (uint64_t offset = segments_[i].extent_offset; offset < end;) {
      const PlaneRun& planes = extent_.runs[run].planes;
      const uint64_t run_end = uint64_t{planes.offset} + planes.size_bytes;
      const uint64_t part_end = std::min(end, run_end);
      parts_.push_back(
          {.segment = i, .run = run, .offset = offset, .size_bytes = part_end - offset});
      offset = part_end;
      if (part_end == run_end) ++run;
    }
  }
  first_parts_.push_back(parts_.size());
}

bool SplitFilling::is_to_be_split(size_t run, const SourceOf& source_of) const {
  const PlaneRun& planes = extent_.runs[run].planes;
  if (planes.width == 1) return false;
  const auto by_run = [](const Part& part, size_t number) { return part.run < number; };
  auto part = std::lower_bound(parts_.begin(), parts_.end(), run, by_run);
  bool is_worth_it = false;
  for (; part != parts_.end() && part->run == run; ++part) {
    if (!has_whole_elements(*part, planes)) return false;
    const Segment& segment = segments_[part->segment];
    if (segment.source != Segment::Source::storage) continue;
    const Source source = source_of(storages_[segment.index]);
    if (source == Source::plain) return false;
    is_worth_it = is_worth_it || source == Source::splitting;
  }
  return is_worth_it;
}

// Also where it comes from: devices read whole elements at once.
bool SplitFilling::has_whole_elements(const Part& part, const PlaneRun& run) const {
  const bool is_whole =
      (part.offset - run.offset) % run.width == 0 && part.size_bytes % run.width == 0;
  const bool is_storage = segments_[part.segment].source == Segment::Source::storage;
  return is_whole && (!is_storage || source_offset(part) % run.width == 0);
}

uint64_t SplitFilling::source_offset(const Part& part) const {
  const Segment& segment = segments_[part.segment];
  return segment.source_offset + part.offset - segment.extent_offset;
}

CopyPiece SplitFilling::piece_of(Part& part, const std::byte* source) const {
  const auto& [run, is_split] = extent_.runs[part.run];
  CopyPiece piece{.source = source,
                  .target = bytes_.data() + part.offset,
                  .size_bytes = part.size_bytes,
                  .crc = &part.crc};
  if (!is_split) return piece;
  piece.target = bytes_.data() + run.offset + (part.offset - run.offset) / run.width;
  piece.planes = {
      .width = run.width, .is_rotated = run.is_rotated, .plane_bytes = run.size_bytes / run.width};
  return piece;
}

std::span<SplitFilling::Part> SplitFilling::parts_of(size_t segment) {
  return std::span(parts_).subspan(first_parts_[segment],
                                   first_parts_[segment + 1] - first_parts_[segment]);
}

void SplitFilling::add_pieces(size_t segment, SourcePieces& pieces) {
  const SourceStorage& storage = storages_[segments_[segment].index];
  for (Part& part : parts_of(segment)) {
    pieces.add(storage.device, piece_of(part, storage.address + source_offset(part)));
  }
}

void SplitFilling::store(size_t segment, ByteView content) {
  for (Part& part : parts_of(segment)) {
    const uint64_t begin = part.offset - segments_[segment].extent_offset;
    const CopyPiece piece = piece_of(part, content.data() + begin);
    TINTYPE_CHECK(host_device().copy({&piece, 1}, nullptr).is_ok());
  }
}

void SplitFilling::load(uint64_t offset, MutableBytes content) const {
  const auto ends_behind = [](uint64_t place, const SplitExtent::Run& run) {
    return place < uint64_t{run.planes.offset} + run.planes.size_bytes;
  };
  for (std::byte& byte : content) {
    const auto run =
        std::upper_bound(extent_.runs.begin(), extent_.runs.end(), offset, ends_behind);
    byte = run->is_split ? load_byte(*run, offset) : bytes_[offset];
    ++offset;
  }
}

std::byte SplitFilling::load_byte(const SplitExtent::Run& run, uint64_t offset) const {
  const PlaneRun& planes = run.planes;
  const uint64_t element = (offset - planes.offset) / planes.width;
  const uint64_t count = planes.size_bytes / planes.width;
  uint64_t bits = 0;
  for (uint32_t b = 0; b < planes.width; ++b) {
    const std::byte byte = bytes_[planes.offset + plane_index(element, b, count)];
    bits |= std::to_integer<uint64_t>(byte) << (8 * b);
  }
  if (planes.is_rotated) bits = rotate_element_right(bits, planes.width);
  return element_byte(bits, static_cast<uint32_t>((offset - planes.offset) % planes.width));
}

uint32_t SplitFilling::crc_of(size_t segment) const {
  uint32_t crc = 0;
  for (size_t i = first_parts_[segment]; i < first_parts_[segment + 1]; ++i) {
    crc = crc32_combine(crc, parts_[i].crc, parts_[i].size_bytes);
  }
  return crc;
}

SplitExtent SplitFilling::finish() {
  for (const Part& part : parts_) {
    extent_.plain_crc = crc32_combine(extent_.plain_crc, part.crc, part.size_bytes);
  }
  return std::move(extent_);
}

}  // namespace tintype
