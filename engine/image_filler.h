// Fills extents of a planned save: storages are copied with their CRC, then each extent is sealed
// with what depends on CRCs. Works on any memory of extent size, so the pipeline and the in-memory
// stream share it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/bytes.h"
#include "engine/device/source_copies.h"
#include "engine/plan.h"
#include "engine/save_request.h"
#include "engine/split_filling.h"
#include "io/archive/serialization_id.h"

namespace tintype {

// Thread rule: fill() of different positions may run at the same time; seal() calls come one at a
// time, in order of position, each after the copies that its fill() asked for are done.
class ImageFiller {
 public:
  // Both outlive this object.
  ImageFiller(const SavePlan& plan, const std::vector<SourceStorage>& storages);

  size_t extent_count() const { return plan_.order.size(); }
  const Extent& extent(size_t position) const;
  std::span<const Segment> segments(size_t position) const;

  // Writes what planning knew into `target` (at least the extent's padded size; the padding is
  // zeroed), and says in `pieces` what is to be copied there from the storages. With `split` that
  // is where all of it goes, and the piece CRCs are with it.
  void fill(size_t position, MutableBytes target, SourcePieces& pieces,
            SplitFilling* split = nullptr);
  // Combines this extent's piece CRCs and writes descriptors and tail into it.
  void seal(size_t position, MutableBytes target, SplitFilling* split = nullptr);

 private:
  CopyPiece piece_of(const Segment& segment, uint32_t& crc, MutableBytes place) const;
  // What sealing puts into a segment; empty for those that fill() has filled.
  ByteView sealed_bytes(uint32_t image_index, const Segment& segment, ByteVector& descriptor);
  void see_piece(const Segment& segment, uint32_t piece_crc, ByteView head);
  uint32_t record_crc(const FileImage& image, size_t record) const;
  uint64_t hash_record(uint64_t hash, const FileImage& image, size_t record) const;
  const ByteVector& tail(uint32_t image_index);

  struct StorageCrc {
    uint32_t crc = 0;
    uint64_t seen_bytes = 0;
    std::array<std::byte, kPayloadHeadBytes> head =
        {};  // the first bytes, for the serialization id
  };

  const SavePlan& plan_;
  const std::vector<SourceStorage>& storages_;
  std::vector<std::vector<uint32_t>> piece_crcs_;  // [image][segment], set by fill
  std::vector<StorageCrc> storage_crcs_;           // advanced by seal
  std::vector<ByteVector> tails_;                  // [image], made at the first tail segment
};

// The size of an extent's write: its content padded to the direct-I/O alignment.
uint64_t padded_bytes(const Extent& extent);

}  // namespace tintype
