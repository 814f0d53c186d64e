// What a file may ask of its reader. Real checkpoints stay far below; a hostile one is refused
// before memory or time is spent on it. Exceeding one is `unsupported`; the text names the limit.
#pragma once

#include <cstdint>

namespace tintype {

struct ReadLimits {
  uint64_t record_count = 1'000'000;
  uint64_t directory_bytes = uint64_t{256} << 20;
  uint64_t name_bytes = 4096;
  uint64_t pickle_bytes = uint64_t{1} << 30;
  uint64_t pickle_value_count = 16'000'000;
  uint64_t nesting_depth = 1000;   // of containers in the pickle
  uint64_t expansion_ratio = 200;  // of a deflated record above expansion_free_bytes
  uint64_t expansion_free_bytes = uint64_t{1} << 20;
  uint64_t expanded_tensor_bytes = uint64_t{1} << 30;  // of one that repeats its storage (stride 0)
  uint64_t frame_count = 1'000'000;                    // of a compressed form, padding counted
  uint64_t image_free_bytes = uint64_t{64} << 20;      // above, at most 2048 times its file's bytes
  uint64_t stream_free_bytes = uint64_t{4} << 30;      // the same of a stream, and what came of it
  uint64_t streamed_image_bytes = uint64_t{1} << 30;   // of a `.zst` that must be kept in memory
  uint32_t streamed_window_log = 27;  // of such a file's frames: 128 MiB, as `zstd -d` allows
};

// Zero bytes that may follow the end record (copies padded to a block, as torch tolerates).
inline constexpr uint64_t kMaxTrailingZeroBytes = 64u << 10;

}  // namespace tintype
