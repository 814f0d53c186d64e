// A zstd file read front to back: of our form, where it cannot be read at any place, or as the zstd
// command writes them.
#pragma once

#include <zstd.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/frame_log.h"
#include "io/archive/read_limits.h"

namespace tintype {

// Not for several threads at once. Memory: a window within the limits, and only as much as the
// file's frames ask for.
class ZstdStream {
 public:
  // `name` is what error texts call the file; `file_bytes` its size. Then an expansion is judged as
  // soon as a frame says its own. Without one, by what has come so far, and later: what a file
  // begins with may shrink more than the rest.
  explicit ZstdStream(std::string name, const ReadLimits& limits = {},
                      std::optional<uint64_t> file_bytes = {});

  // Decodes from the front of `input`, which is moved on, until it is used up or `target` is full;
  // returns how many bytes `target` got. Call it with an empty input too, until nothing comes.
  // corruption for damage, and for a seek table that lists other frames than those in front of it;
  // unsupported for a larger window or an expansion over the limit.
  Result<size_t> decode(ByteView& input, MutableBytes target);

  // corruption where the input so far ends within a frame, or behind a seek table with frames of
  // Tintype that have none.
  Status finish() const;

  // Whether frames may be missing behind those so far: where there are several, skippable ones
  // included, and what came last is no seek table. A single frame is all that its writer made.
  bool may_lack_frames() const;
  // Whether they are Tintype's without the seek table that it writes behind them.
  bool lacks_table() const { return log_.lacks_table(); }

 private:
  struct Free {
    void operator()(ZSTD_DCtx* context) const { ZSTD_freeDCtx(context); }
  };

  // What zstd's error at that byte of the file means.
  Status fault(size_t result, uint64_t offset) const;
  Status check_expansion() const;

  std::string name_;
  ReadLimits limits_;
  std::optional<uint64_t> file_bytes_;
  std::unique_ptr<ZSTD_DCtx, Free> context_;
  uint64_t input_bytes_ = 0;
  uint64_t output_bytes_ = 0;
  FrameLog log_;
  bool is_within_frame_ = false;
};

}  // namespace tintype
