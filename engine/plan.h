// Planning: every byte of every file image gets its place before one moves.
//
// An image is cut into extents (equal aligned ranges, one slot and one write each). After planning
// tensors no longer exist, only segments: a source range and where it goes in its extent. Pure
// functions; nothing here allocates slots, reads storages or touches a disk.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/save_request.h"
#include "io/archive/zip_layout.h"

namespace tintype {

struct Segment {
  enum class Source : uint8_t {
    literal,     // FileImage::literals, known at planning
    storage,     // SaveRequest::storages[index]
    descriptor,  // of records[index]: known when the record's CRC is (sealed)
    tail,        // serialization id, directory, end records: known when all CRCs are (sealed)
  };
  Source source = Source::literal;
  bool is_checked = false;  // storage: this copy computes the CRC (in the first image with it)
  uint32_t index = 0;
  uint64_t source_offset = 0;  // in bytes from the start of the source
  uint64_t extent_offset = 0;  // in bytes from the start of the extent
  uint64_t size_bytes = 0;
};

struct Extent {
  uint64_t offset = 0;      // in the file image; a multiple of extent_bytes
  uint64_t size_bytes = 0;  // of content; the write is padded to 4096
  uint32_t first_segment = 0;
  uint32_t segment_count = 0;
};

inline constexpr uint32_t kNoStorage = UINT32_MAX;

struct FileImage {
  ZipLayout layout;
  std::vector<uint32_t> record_storages;  // per record: the storage it holds, or kNoStorage
  std::vector<uint32_t> literal_crcs;     // per record: its CRC where it holds no storage
  uint64_t name_hash = 0;
  uint64_t tail_offset = 0;  // where the payload of the last record begins
  ByteVector literals;
  std::vector<Segment> segments;
  std::vector<Extent> extents;

  std::span<const Segment> segments_of(const Extent& extent) const {
    return std::span(segments).subspan(extent.first_segment, extent.segment_count);
  }
};

struct ExtentRef {
  uint32_t image = 0;
  uint32_t extent = 0;
};

struct SavePlan {
  std::vector<FileImage> images;  // one per TargetFile
  // The order in which extents are leased, staged and sealed. Each image's extents are in file
  // order; an extent of a later image follows the extents of the first that hold its storages, so
  // every storage is read once while it is in the cache and its CRC is known when needed.
  std::vector<ExtentRef> order;
  uint64_t total_bytes = 0;    // over all images
  uint64_t storage_bytes = 0;  // distinct storages
};

// unsupported for a compressed file of more extents than its table may list. REQUIRES: extent_bytes
// is a positive multiple of 4096; files is not empty.
Result<SavePlan> plan_save(const SaveRequest& request, uint64_t extent_bytes);

// Makes of an image's plan that of the same image with another pickle. REQUIRES: equal sizes.
void replace_pickle(FileImage& image, ByteView pickle);

}  // namespace tintype
