#include "engine/plan.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/page_sizes.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/crc32.h"
#include "io/archive/record_names.h"
#include "io/archive/serialization_id.h"

namespace tintype {
namespace {

// The records around the storages, in torch's order (io/archive/FORMAT.md): four in front, two
// behind.
constexpr size_t kLeadingRecords = 4;
constexpr size_t kTrailingRecords = 2;
constexpr std::string_view kFormatVersion = "1";
constexpr std::string_view kByteOrder = "little";
constexpr std::string_view kVersion = "3\n";

std::vector<RecordSize> record_sizes(const TargetFile& file,
                                     const std::vector<SourceStorage>& storages) {
  std::vector<RecordSize> sizes;
  sizes.reserve(file.object.storages.size() + kLeadingRecords + kTrailingRecords);
  sizes.push_back({std::string(kPickleRecord), file.object.pickle.size()});
  sizes.push_back({std::string(kFormatVersionRecord), kFormatVersion.size()});
  sizes.push_back({std::string(kStorageAlignmentRecord), std::to_string(file.alignment).size()});
  sizes.push_back({std::string(kByteOrderRecord), kByteOrder.size()});
  for (size_t i = 0; i < file.object.storages.size(); ++i) {
    const uint64_t size_bytes = storages[file.object.storages[i]].size_bytes;
    sizes.push_back({storage_record(std::to_string(i)), size_bytes});
  }
  sizes.push_back({std::string(kVersionRecord), kVersion.size()});
  sizes.push_back({std::string(kSerializationIdRecord), kSerializationIdBytes});
  return sizes;
}

// Lays segments one behind the other and cuts them at extent borders.
class ImageBuilder {
 public:
  ImageBuilder(FileImage& image, uint64_t extent_bytes)
      : image_(image), extent_bytes_(extent_bytes) {}

  void add(Segment segment) {
    while (segment.size_bytes > 0) {
      if (image_.extents.empty() || image_.extents.back().size_bytes == extent_bytes_) {
        open_extent();
      }
      Extent& extent = image_.extents.back();
      const uint64_t piece = std::min(segment.size_bytes, extent_bytes_ - extent.size_bytes);
      place(extent, segment, piece);
      segment.source_offset += piece;
      segment.size_bytes -= piece;
    }
  }

  // A literal from `start` to the present end of image.literals.
  void add_literal_since(size_t start) {
    add({.source = Segment::Source::literal,
         .source_offset = start,
         .size_bytes = image_.literals.size() - start});
  }

 private:
  void open_extent() {
    image_.extents.push_back({.offset = image_.extents.size() * extent_bytes_,
                              .first_segment = static_cast<uint32_t>(image_.segments.size())});
  }

  void place(Extent& extent, const Segment& segment, uint64_t piece) {
    Segment* last = extent.segment_count == 0 ? nullptr : &image_.segments.back();
    const bool continues_literal = last != nullptr && segment.source == Segment::Source::literal &&
                                   last->source == Segment::Source::literal &&
                                   last->source_offset + last->size_bytes == segment.source_offset;
    if (continues_literal) {
      last->size_bytes += piece;
    } else {
      image_.segments.push_back(segment);
      image_.segments.back().extent_offset = extent.size_bytes;
      image_.segments.back().size_bytes = piece;
      ++extent.segment_count;
    }
    extent.size_bytes += piece;
  }

  FileImage& image_;
  uint64_t extent_bytes_;
};

// One allocation each: growing them step by step costs more than all the rest of planning.
void reserve_space(FileImage& image, uint64_t extent_bytes) {
  constexpr size_t kSegmentsPerRecord = 3;  // header, payload, descriptor
  const auto& layout = image.layout;
  const uint64_t extent_count = divide_up(layout.total_bytes, extent_bytes);
  image.extents.reserve(extent_count);
  image.segments.reserve(layout.records.size() * kSegmentsPerRecord + extent_count);
  uint64_t literal_bytes = 0;
  for (size_t i = 0; i < layout.records.size(); ++i) {
    const ZipRecord& record = layout.records[i];
    const bool is_known = i < kLeadingRecords || i + kTrailingRecords >= layout.records.size();
    literal_bytes += (is_known ? record.end_offset : record.data_offset) - record.header_offset;
  }
  image.literals.reserve(literal_bytes);
}

// Header, payload and descriptor of a record whose content is known now.
void add_known_record(FileImage& image, ImageBuilder& builder, size_t record_index,
                      ByteView payload) {
  const ZipRecord& record = image.layout.records[record_index];
  const size_t start = image.literals.size();
  image.literal_crcs[record_index] = crc32(0, payload);
  append_local_header(record, image.literals);
  append_bytes(image.literals, payload);
  append_descriptor(record, image.literal_crcs[record_index], image.literals);
  builder.add_literal_since(start);
}

void add_storage_record(FileImage& image, ImageBuilder& builder, size_t record_index,
                        uint32_t storage, bool is_checked) {
  const ZipRecord& record = image.layout.records[record_index];
  const size_t start = image.literals.size();
  append_local_header(record, image.literals);
  builder.add_literal_since(start);
  builder.add({.source = Segment::Source::storage,
               .is_checked = is_checked,
               .index = storage,
               .size_bytes = record.size_bytes});
  builder.add({.source = Segment::Source::descriptor,
               .index = static_cast<uint32_t>(record_index),
               .size_bytes = record.descriptor_bytes()});
}

std::vector<std::string> names_before_id(const ZipLayout& layout) {
  std::vector<std::string> names;
  names.reserve(layout.records.size());
  for (const auto& record : layout.records) names.push_back(record.name);
  names.pop_back();  // the id is computed before its own record is counted
  return names;
}

void add_tail(FileImage& image, ImageBuilder& builder) {
  const ZipRecord& id = image.layout.records.back();
  const size_t start = image.literals.size();
  append_local_header(id, image.literals);
  builder.add_literal_since(start);
  image.tail_offset = id.data_offset;
  builder.add(
      {.source = Segment::Source::tail, .size_bytes = image.layout.total_bytes - id.data_offset});
}

Result<FileImage> plan_image(const TargetFile& file, const std::vector<SourceStorage>& storages,
                             uint64_t extent_bytes, std::vector<bool>& is_storage_checked) {
  FileImage image;
  TINTYPE_ASSIGN_OR_RETURN(image.layout, lay_out_zip(record_sizes(file, storages), file.alignment));
  if (file.form.form != FileForm::plain) {
    TINTYPE_RETURN_IF_ERROR(check_extent_count(divide_up(image.layout.total_bytes, extent_bytes)));
  }
  const size_t record_count = image.layout.records.size();
  image.literal_crcs.assign(record_count, 0);
  image.record_storages.assign(record_count, kNoStorage);
  image.name_hash = hash_record_names(names_before_id(image.layout));

  reserve_space(image, extent_bytes);
  ImageBuilder builder(image, extent_bytes);
  add_known_record(image, builder, 0, file.object.pickle);
  add_known_record(image, builder, 1, as_bytes(kFormatVersion));
  add_known_record(image, builder, 2, as_bytes(std::to_string(file.alignment)));
  add_known_record(image, builder, 3, as_bytes(kByteOrder));
  for (size_t i = 0; i < file.object.storages.size(); ++i) {
    const uint32_t storage = file.object.storages[i];
    image.record_storages[kLeadingRecords + i] = storage;
    add_storage_record(image, builder, kLeadingRecords + i, storage, !is_storage_checked[storage]);
    is_storage_checked[storage] = true;
  }
  add_known_record(image, builder, record_count - 2, as_bytes(kVersion));
  add_tail(image, builder);
  TINTYPE_CHECK(image.extents.back().offset + image.extents.back().size_bytes ==
                image.layout.total_bytes);
  return image;
}

// For each storage, the first image's extent that holds its last byte.
std::vector<uint32_t> last_extents(const FileImage& image, size_t storage_count) {
  std::vector<uint32_t> last(storage_count, 0);
  for (uint32_t e = 0; e < image.extents.size(); ++e) {
    for (const Segment& segment : image.segments_of(image.extents[e])) {
      if (segment.source == Segment::Source::storage) last[segment.index] = e;
    }
  }
  return last;
}

// The extent of the first image after which this extent of a later image may be staged.
uint32_t prerequisite(const FileImage& first, const std::vector<uint32_t>& last_of_storage,
                      const FileImage& image, const Extent& extent) {
  uint32_t required = 0;
  for (const Segment& segment : image.segments_of(extent)) {
    if (segment.source == Segment::Source::storage) {
      required = std::max(required, last_of_storage[segment.index]);
    } else if (segment.source == Segment::Source::descriptor) {
      required = std::max(required, last_of_storage[image.record_storages[segment.index]]);
    } else if (segment.source == Segment::Source::tail) {
      required = static_cast<uint32_t>(first.extents.size()) - 1;
    }
  }
  return required;
}

std::vector<ExtentRef> staging_order(const std::vector<FileImage>& images, size_t storage_count) {
  const FileImage& first = images.front();
  const auto last_of_storage = last_extents(first, storage_count);
  std::vector<uint32_t> next(images.size(), 0);
  std::vector<ExtentRef> order;
  for (uint32_t e = 0; e < first.extents.size(); ++e) {
    order.push_back({0, e});
    for (uint32_t i = 1; i < images.size(); ++i) {
      const auto& extents = images[i].extents;
      while (next[i] < extents.size() &&
             prerequisite(first, last_of_storage, images[i], extents[next[i]]) <= e) {
        order.push_back({i, next[i]++});
      }
    }
  }
  return order;
}

}  // namespace

void replace_pickle(FileImage& image, ByteView pickle) {
  const ZipRecord& record = image.layout.records.front();
  TINTYPE_CHECK(pickle.size() == record.size_bytes);
  image.literal_crcs.front() = crc32(0, pickle);
  ByteVector descriptor;
  append_descriptor(record, image.literal_crcs.front(), descriptor);
  const auto place = image.literals.begin() + static_cast<ptrdiff_t>(record.data_offset);
  std::copy(descriptor.begin(), descriptor.end(),
            std::copy(pickle.begin(), pickle.end(), place));  // the literals begin with the image
}

Result<SavePlan> plan_save(const SaveRequest& request, uint64_t extent_bytes) {
  TINTYPE_CHECK(extent_bytes > 0 && extent_bytes % kDirectAlignmentBytes == 0);
  TINTYPE_CHECK(!request.files.empty());
  SavePlan plan;
  std::vector<bool> is_storage_checked(request.storages.size(), false);
  for (const TargetFile& file : request.files) {
    auto image = plan_image(file, request.storages, extent_bytes, is_storage_checked);
    if (!image.is_ok()) {
      const std::string where = file.path.empty() ? "to a file object" : file.path;
      return image.status().with_context("save " + where);
    }
    plan.total_bytes += image->layout.total_bytes;
    plan.images.push_back(std::move(image).value());
  }
  for (const SourceStorage& storage : request.storages) plan.storage_bytes += storage.size_bytes;
  plan.order = staging_order(plan.images, request.storages.size());
  return plan;
}

}  // namespace tintype
