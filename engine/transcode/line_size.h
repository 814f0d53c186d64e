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

// Where each of those that code holds `coder_bytes` beside its piece, fewer do.
inline LineOptions line_for(const TranscodeOptions& options, uint64_t slot_bytes,
                            uint64_t coder_bytes = 0) {
  const uint32_t processors = std::clamp(std::thread::hardware_concurrency(), 1u, kCodersMax);
  const uint64_t wanted = options.thread_count != 0 ? options.thread_count : processors;
  const uint64_t coders =
      std::clamp<uint64_t>(options.memory_bytes / (slot_bytes + coder_bytes), 1, wanted);
  const uint64_t left_bytes =
      options.memory_bytes - std::min(options.memory_bytes, coders * coder_bytes);
  const uint64_t slots =
      std::clamp<uint64_t>(left_bytes / slot_bytes, coders, coders + kMovingPieces);
  return {.slot_count = static_cast<uint32_t>(slots),
          .worker_count = static_cast<uint32_t>(coders),
          .is_interrupted = options.is_interrupted};
}

}  // namespace tintype
