// What has passed of a zstd file that is read front to back, frame by frame. zstd takes a seek
// table for a frame to skip, and any frames behind each other for a file; here each table is
// compared with the frames in front of it, so that none is missing, doubled or in another's place.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/seek_table.h"
#include "io/archive/xxh64.h"

namespace tintype {

class FrameLog {
 public:
  // `name` is what error texts call the file. Of more frames than `frame_limit` since a table, the
  // last so many are remembered.
  FrameLog(std::string name, uint64_t frame_limit);

  // The next bytes of the frame that is being read, and what came of them.
  void see(ByteView encoded, ByteView plain);

  // That frame is whole. corruption where it is a seek table that does not fit: the frames that it
  // lists must be the last in front of it. Those before them, since the table before or the begin,
  // are another program's; Tintype's have a table of their own. unsupported over the limit.
  Status end_frame();

  // How much the header of the frame that is being read says is still to come of it; 0 where it
  // does not say.
  uint64_t announced_bytes() const;

  uint64_t frame_count() const { return frame_count_; }  // skippable ones included
  bool has_table() const { return has_table_; }
  bool ends_with_table() const { return ends_with_table_; }
  // Whether frames behind the last table are Tintype's, which ends its files with one.
  bool lacks_table() const { return first_padding_.has_value(); }

 private:
  void keep(ByteView& encoded, size_t limit_bytes);
  void see_content(ByteView encoded);
  bool begins_with(uint32_t magic) const;
  bool is_table() const;
  bool is_padding() const;
  bool has_checksum() const;
  SeekEntry entry() const;
  Status check_table() const;
  Status too_long() const;
  Status misfit() const;

  std::string name_;
  uint64_t frame_limit_;

  // Of the frame that is being read.
  ByteVector begin_;  // its header; of a table all, within the limit
  std::array<std::byte, sizeof(uint32_t)> end_ = {};
  uint64_t frame_bytes_ = 0;
  uint64_t plain_bytes_ = 0;
  bool is_zero_ = true;  // all that has passed behind the header of a skippable frame
  Xxh64 content_hash_;   // where the frame has no checksum of its own

  std::deque<SeekEntry> frames_;  // since the last table: as a table would list them
  bool has_forgotten_ = false;    // some of these
  // The number of the first frame since the last table that is padding of Tintype's.
  std::optional<uint64_t> first_padding_;
  bool has_table_ = false;
  bool ends_with_table_ = false;
  uint64_t frame_count_ = 0;
  uint64_t offset_ = 0;  // of the frame that is being read
};

}  // namespace tintype
