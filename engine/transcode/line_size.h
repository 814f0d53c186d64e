// How many pieces are under way at once.
#pragma once

#include <algorithm>
#include <thread>

#include "engine/transcode/ordered_line.h"
#include "engine/transcode/transcode.h"

namespace tintype {

inline constexpr uint32_t kCodersMax = 8;
// Beside those that code, some pieces are written: a disk is fast with several writes in flight.
inline constexpr uint32_t kMovingPieces = 6;

inline LineOptions line_for(const TranscodeOptions& options, uint64_t slot_bytes) {
  const uint32_t processors = std::clamp(std::thread::hardware_concurrency(), 1u, kCodersMax);
  const uint32_t wanted = options.thread_count != 0 ? options.thread_count : processors;
  const uint64_t affordable = std::max<uint64_t>(1, options.memory_bytes / slot_bytes);
  const auto slots =
      static_cast<uint32_t>(std::min<uint64_t>(uint64_t{wanted} + kMovingPieces, affordable));
  return {.slot_count = slots,
          .worker_count = std::min(wanted, slots),
          .is_interrupted = options.is_interrupted};
}

}  // namespace tintype
