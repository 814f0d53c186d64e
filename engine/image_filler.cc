#include "engine/image_filler.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/crc32_combine.h"
#include "base/page_sizes.h"
#include "io/archive/crc32.h"
#include "io/archive/serialization_id.h"

namespace tintype {
namespace {

void copy(MutableBytes target, ByteView source) {
  if (!source.empty()) std::memcpy(target.data(), source.data(), source.size());
}

}  // namespace

uint64_t padded_bytes(const Extent& extent) {
  return align_up(extent.size_bytes, kDirectAlignmentBytes);
}

ImageFiller::ImageFiller(const SavePlan& plan, const std::vector<SourceStorage>& storages)
    : plan_(plan),
      storages_(storages),
      piece_crcs_(plan.images.size()),
      storage_crcs_(storages.size()),
      tails_(plan.images.size()) {
  for (size_t i = 0; i < plan.images.size(); ++i) {
    piece_crcs_[i].resize(plan.images[i].segments.size());
  }
}

const Extent& ImageFiller::extent(size_t position) const {
  const ExtentRef ref = plan_.order[position];
  return plan_.images[ref.image].extents[ref.extent];
}

std::span<const Segment> ImageFiller::segments(size_t position) const {
  return plan_.images[plan_.order[position].image].segments_of(extent(position));
}

void ImageFiller::fill(size_t position, MutableBytes target, SourcePieces& pieces,
                       SplitFilling* split) {
  const ExtentRef ref = plan_.order[position];
  const FileImage& image = plan_.images[ref.image];
  const Extent& extent = image.extents[ref.extent];
  for (uint32_t i = 0; i < extent.segment_count; ++i) {
    const size_t index = extent.first_segment + i;
    const Segment& segment = image.segments[index];
    const MutableBytes place = target.subspan(segment.extent_offset, segment.size_bytes);
    if (segment.source == Segment::Source::literal) {
      const auto literal =
          ByteView(image.literals).subspan(segment.source_offset, segment.size_bytes);
      split != nullptr ? split->store(i, literal) : copy(place, literal);
    } else if (segment.source == Segment::Source::storage) {
      if (split != nullptr) {
        split->add_pieces(i, pieces);
      } else {
        pieces.add(storages_[segment.index].device,
                   piece_of(segment, piece_crcs_[ref.image][index], place));
      }
    }
  }
  const uint64_t padding = padded_bytes(extent) - extent.size_bytes;
  std::memset(target.data() + extent.size_bytes, 0, padding);
}

CopyPiece ImageFiller::piece_of(const Segment& segment, uint32_t& crc, MutableBytes place) const {
  return {.source = storages_[segment.index].address + segment.source_offset,
          .target = place.data(),
          .size_bytes = segment.size_bytes,
          .crc = segment.is_checked ? &crc : nullptr};
}

void ImageFiller::seal(size_t position, MutableBytes target, SplitFilling* split) {
  const ExtentRef ref = plan_.order[position];
  const FileImage& image = plan_.images[ref.image];
  const Extent& extent = image.extents[ref.extent];
  for (uint32_t i = 0; i < extent.segment_count; ++i) {
    const size_t index = extent.first_segment + i;
    const Segment& segment = image.segments[index];
    const MutableBytes place = target.subspan(segment.extent_offset, segment.size_bytes);
    if (segment.source == Segment::Source::storage && segment.is_checked) {
      std::array<std::byte, kPayloadHeadBytes> loaded;
      MutableBytes head = place.first(std::min(place.size(), loaded.size()));
      if (split != nullptr) {
        head = MutableBytes(loaded).first(head.size());
        split->load(segment.extent_offset, head);
      }
      see_piece(segment, split != nullptr ? split->crc_of(i) : piece_crcs_[ref.image][index], head);
      continue;
    }
    ByteVector descriptor;
    const ByteView sealed = sealed_bytes(ref.image, segment, descriptor);
    if (sealed.empty()) continue;
    split != nullptr ? split->store(i, sealed) : copy(place, sealed);
  }
}

ByteView ImageFiller::sealed_bytes(uint32_t image_index, const Segment& segment,
                                   ByteVector& descriptor) {
  const FileImage& image = plan_.images[image_index];
  ByteView content;
  if (segment.source == Segment::Source::descriptor) {
    append_descriptor(image.layout.records[segment.index], record_crc(image, segment.index),
                      descriptor);
    content = descriptor;
  } else if (segment.source == Segment::Source::tail) {
    content = tail(image_index);
  }
  return content.empty() ? content : content.subspan(segment.source_offset, segment.size_bytes);
}

void ImageFiller::see_piece(const Segment& segment, uint32_t piece_crc, ByteView head) {
  StorageCrc& storage = storage_crcs_[segment.index];
  TINTYPE_CHECK(storage.seen_bytes == segment.source_offset);
  if (storage.seen_bytes < storage.head.size()) {
    const uint64_t count = std::min(storage.head.size() - storage.seen_bytes, head.size());
    std::memcpy(storage.head.data() + storage.seen_bytes, head.data(), count);
  }
  storage.crc = storage.seen_bytes == 0 ? piece_crc
                                        : crc32_combine(storage.crc, piece_crc, segment.size_bytes);
  storage.seen_bytes += segment.size_bytes;
}

uint32_t ImageFiller::record_crc(const FileImage& image, size_t record) const {
  const uint32_t storage = image.record_storages[record];
  if (storage == kNoStorage) return image.literal_crcs[record];
  TINTYPE_CHECK(storage_crcs_[storage].seen_bytes == storages_[storage].size_bytes);
  return storage_crcs_[storage].crc;
}

uint64_t ImageFiller::hash_record(uint64_t hash, const FileImage& image, size_t record) const {
  const uint64_t size_bytes = image.layout.records[record].size_bytes;
  if (size_bytes == 0) return hash;
  const uint32_t storage = image.record_storages[record];
  if (storage != kNoStorage) {
    const ByteView head(storage_crcs_[storage].head);
    hash = hash_payload_head(hash, head.first(std::min<size_t>(size_bytes, head.size())));
  }
  return hash_record_crc(hash, record_crc(image, record));
}

const ByteVector& ImageFiller::tail(uint32_t image_index) {
  ByteVector& tail = tails_[image_index];
  if (!tail.empty()) return tail;
  const FileImage& image = plan_.images[image_index];
  std::vector<uint32_t> crcs;
  uint64_t content_hash = 0;
  for (size_t r = 0; r + 1 < image.layout.records.size(); ++r) {
    crcs.push_back(record_crc(image, r));
    content_hash = hash_record(content_hash, image, r);
  }
  append_text(tail, serialization_id(image.name_hash, content_hash));
  crcs.push_back(crc32(0, tail));
  append_descriptor(image.layout.records.back(), crcs.back(), tail);
  append_directory(image.layout, crcs, tail);
  return tail;
}

}  // namespace tintype
