#include "engine/early_copy.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <utility>
#include <vector>

#include "base/bytes.h"

namespace tintype {
namespace {

constexpr uint64_t kAlignmentBytes = 64;      // a cache line: neighbours do not share one
constexpr uint64_t kPieceBytes = 1ull << 20;  // what one thread copies at a time
// What a copy engine moves at a time: between two pieces the job's own copies get in.
constexpr uint64_t kDevicePieceBytes = 8ull << 20;

// A millisecond or two. More would be memory beyond the staging memory that somebody has sized.
constexpr uint64_t kRestBytesMax = 16ull << 20;

bool is_early(const SaveJob& job, const SourceStorage& storage) {
  return !job.is_lazy(storage) && !job.copies.is_gathered(storage);
}

uint64_t early_bytes(const SaveJob& job) {
  uint64_t total = 0;
  for (const SourceStorage& storage : job.request.storages) {
    if (is_early(job, storage)) total += align_up(storage.size_bytes, kAlignmentBytes);
  }
  return total;
}

// The first device that copies into the buffer; null where all comes from the host.
Device* copying_device(const SaveJob& job) {
  for (const SourceStorage& storage : job.request.storages) {
    if (storage.device != kHostMemory && is_early(job, storage)) {
      return job.request.devices[storage.device].device;
    }
  }
  return nullptr;
}

void add_pieces(const SourceStorage& storage, std::byte* target, SourcePieces& pieces) {
  const uint64_t step = storage.device == kHostMemory ? kPieceBytes : kDevicePieceBytes;
  for (uint64_t offset = 0; offset < storage.size_bytes; offset += step) {
    pieces.add(storage.device, {.source = storage.address + offset,
                                .target = target + offset,
                                .size_bytes = std::min(step, storage.size_bytes - offset)});
  }
}

// Gives each early storage its place behind the other; the copies to get there.
SourcePieces move_to_buffer(SaveJob& job, std::byte* target) {
  SourcePieces pieces;
  for (SourceStorage& storage : job.request.storages) {
    if (!is_early(job, storage)) continue;
    add_pieces(storage, target, pieces);
    storage.address = target;
    storage.device = kHostMemory;
    target += align_up(storage.size_bytes, kAlignmentBytes);
  }
  return pieces;
}

void copy_host(const std::vector<CopyPiece>& pieces, CopyCrew& crew,
               const std::function<bool()>& is_stopped) {
  std::atomic<size_t> next{0};
  std::atomic<bool> is_stopping{false};
  const auto copy_some = [&](bool is_caller) {
    for (size_t i = 0; !is_stopping && (i = next.fetch_add(1)) < pieces.size();) {
      std::memcpy(pieces[i].target, pieces[i].source, pieces[i].size_bytes);
      if (is_caller && is_stopped()) is_stopping = true;
    }
  };
  uint64_t total = 0;
  for (const CopyPiece& piece : pieces) total += piece.size_bytes;
  if (total < kCrewThresholdBytes) {
    copy_some(true);
  } else {
    crew.run(copy_some, [&] { is_stopping = is_stopping || is_stopped(); });
  }
}

}  // namespace

bool is_rest_small(const SaveJob& job) {
  uint64_t rest_bytes = 0;
  bool is_any_gathered = false;
  for (const SourceStorage& storage : job.request.storages) {
    if (job.copies.is_gathered(storage)) {
      is_any_gathered = true;
    } else if (storage.device == kHostMemory) {
      rest_bytes += storage.size_bytes;
    } else {
      return false;
    }
  }
  return is_any_gathered && rest_bytes <= kRestBytesMax;
}

Status copy_early(SaveJob& job, EarlyBuffer& buffer, CopyCrew& crew, CopiesInFlight& in_flight,
                  const std::function<bool()>& is_stopped) {
  const uint64_t total = early_bytes(job);
  if (total == 0) return Status::ok();
  TINTYPE_ASSIGN_OR_RETURN(const MutableBytes memory, buffer.reserve(total, copying_device(job)));
  SourcePieces pieces = move_to_buffer(job, memory.data());
  const std::vector<CopyPiece> host = std::move(pieces.host);
  pieces.host.clear();
  TINTYPE_RETURN_IF_ERROR(job.copies.copy(pieces, in_flight));
  TINTYPE_RETURN_IF_ERROR(job.copies.release_streams());
  copy_host(host, crew, is_stopped);
  return Status::ok();
}

}  // namespace tintype
