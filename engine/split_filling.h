// Filling one extent of the planes form whose bytes devices sort into planes while they copy them,
// so that encoding it is entropy coding alone.
//
// A run arrives split where part of it comes from a device's slab and whole elements of it from
// whatever else: headers and descriptors go to their places in the planes as tensors do.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "engine/device/source_copies.h"
#include "engine/plan.h"
#include "engine/save_request.h"
#include "io/archive/split_extent.h"

namespace tintype {

// Not for several threads at once. Segments are numbered as the extent's.
class SplitFilling {
 public:
  // What a run may be made of, and what makes it worth splitting.
  enum class Source { plain, any, splitting };
  using SourceOf = std::function<Source(const SourceStorage&)>;

  // Of an extent that is filled into `bytes`. `source_of` tells for each storage whether a run with
  // bytes of it has to stay plain, may arrive split, or is to. Null where no run is split. The
  // segments and storages outlive it.
  static std::unique_ptr<SplitFilling> make(std::span<const PlaneRun> runs,
                                            std::span<const Segment> segments,
                                            const std::vector<SourceStorage>& storages,
                                            const SourceOf& source_of, MutableBytes bytes);

  // The copies of a segment that lies in a storage. Their CRCs are kept here: this stays until
  // they are done.
  void add_pieces(size_t segment, SourcePieces& pieces);
  // Brings the bytes of another segment to their places.
  void store(size_t segment, ByteView content);
  // What stands at an offset of the extent's plain bytes. REQUIRES: it was copied or stored.
  void load(uint64_t offset, MutableBytes content) const;
  // REQUIRES: the segment was copied or stored.
  uint32_t crc_of(size_t segment) const;
  // For the encoder. REQUIRES: all segments were copied or stored.
  SplitExtent finish();

 private:
  // What one segment has in one run.
  struct Part {
    size_t segment = 0;
    size_t run = 0;
    uint64_t offset = 0;  // in the extent
    uint64_t size_bytes = 0;
    uint32_t crc = 0;
  };

  SplitFilling(std::span<const Segment> segments, const std::vector<SourceStorage>& storages,
               MutableBytes bytes)
      : segments_(segments), storages_(storages), bytes_(bytes) {}
  void cut_into_parts();
  bool is_to_be_split(size_t run, const SourceOf& source_of) const;
  bool has_whole_elements(const Part& part, const PlaneRun& run) const;
  uint64_t source_offset(const Part& part) const;
  CopyPiece piece_of(Part& part, const std::byte* source) const;
  std::byte load_byte(const SplitExtent::Run& run, uint64_t offset) const;
  std::span<Part> parts_of(size_t segment);

  const std::span<const Segment> segments_;
  const std::vector<SourceStorage>& storages_;
  const MutableBytes bytes_;
  SplitExtent extent_;
  std::vector<Part> parts_;          // by offset
  std::vector<size_t> first_parts_;  // per segment, and the end
};

}  // namespace tintype
