// Compares the elements of one tensor of two checkpoints, piece by piece.
#pragma once

#include <cstdint>
#include <set>
#include <string_view>

#include "base/status.h"
#include "engine/diff/element_difference.h"
#include "engine/restore/archive.h"
#include "engine/restore/parallel_read.h"

namespace tintype {

// One of the two checkpoints. Each record is compared with its CRC once, whichever tensor touches
// it first: a damaged file must not pass for a different one.
class ComparedArchive {
 public:
  explicit ComparedArchive(const Archive& archive) : archive_(&archive) {}

  const Archive& archive() const { return *archive_; }
  bool is_checked(const ArchiveRecord& record) const { return checked_.contains(&record); }
  void mark_checked(const ArchiveRecord& record) { checked_.insert(&record); }
  // Reads the whole record for its CRC, unless that was done.
  Status check(const ArchiveRecord& record, const ReadOptions& options);

 private:
  const Archive* archive_;
  std::set<const ArchiveRecord*> checked_;
};

// REQUIRES: the tensors have the same dtype and shape, and neither is meta. Memory: two MiB a
// thread; a tensor that is not contiguous, or whose record is compressed, is read whole. Errors:
// corruption, the system's, and those of Archive::read_tensor; `interrupted`.
Result<ElementDifference> compare_tensors(ComparedArchive& first, const TensorEntry& first_tensor,
                                          ComparedArchive& second, const TensorEntry& second_tensor,
                                          const Tolerance& tolerance, const ReadOptions& options);

}  // namespace tintype
