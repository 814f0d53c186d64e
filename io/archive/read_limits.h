// What a file may ask of its reader: a hostile one is refused before memory or time is spent on it.
// Exceeding one is `unsupported`; the text names the limit. docs/limits.md has them for users.
#pragma once

#include <algorithm>
#include <cstdint>

#include "io/archive/compressed_form.h"

namespace tintype {

struct ReadLimits {
  uint64_t record_count = 1'000'000;
  uint64_t directory_bytes = uint64_t{256} << 20;
  uint64_t name_bytes = 4096;
  uint64_t pickle_bytes = uint64_t{1} << 30;
  uint64_t pickle_value_count = 16'000'000;
  uint64_t contents_bytes = uint64_t{4} << 30;  // of the list of tensors and values, with names
  uint64_t nesting_depth = 1000;                // of containers in the pickle
  uint64_t expansion_ratio = 200;               // of a deflated record above expansion_free_bytes
  uint64_t expansion_free_bytes = uint64_t{1} << 20;
  uint64_t expanded_tensor_bytes = uint64_t{1} << 30;  // of one that repeats its storage (stride 0)
  // Of a compressed form, padding counted; its table, and so the memory for it, is bounded by the
  // file's own size as well.
  uint64_t frame_count = kFrameCountMax;
  uint64_t image_free_bytes = uint64_t{16} << 20;     // above, at most 2048 times its file's bytes
  uint64_t stream_free_bytes = uint64_t{4} << 30;     // the same of a stream, and what came of it
  uint64_t streamed_image_bytes = uint64_t{1} << 30;  // of a `.zst` that must be kept in memory
  uint64_t streamed_frame_count = uint64_t{1} << 21;  // of its seek table, where it has one
  uint32_t streamed_window_log = 27;  // of such a file's frames: 128 MiB, as `zstd -d` allows

  // No record of a plain archive, with its entry in the directory, takes less.
  static constexpr uint64_t kStoredRecordBytesMin = 76;

  // The same for a file of this size: what a small one makes of its pickle stays small too, however
  // well the pickle is compressed, and what a file stores as it is never comes near.
  ReadLimits in_proportion_to(uint64_t file_bytes) const {
    const auto lower = [&](uint64_t& limit, uint64_t free, uint64_t times) {
      if (file_bytes < limit / times) limit = std::min(limit, free + file_bytes * times);
    };
    ReadLimits limits = *this;
    limits.record_count = std::max(record_count, file_bytes / kStoredRecordBytesMin);
    limits.directory_bytes = std::max(directory_bytes, file_bytes);
    limits.pickle_bytes = std::max(pickle_bytes, file_bytes);
    lower(limits.pickle_bytes, uint64_t{16} << 20, expansion_ratio);
    lower(limits.pickle_value_count, 500'000, 4);
    lower(limits.contents_bytes, uint64_t{16} << 20, 64);
    return limits;
  }
};

// Zero bytes that may follow the end record (copies padded to a block, as torch tolerates).
inline constexpr uint64_t kMaxTrailingZeroBytes = 64u << 10;

}  // namespace tintype
