// Reading the tables of the compressed forms: nothing is believed before it is checked.
#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "io/archive/compressed_form.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/crc32.h"
#include "io/archive/file_faults.h"
#include "io/archive/seek_table.h"

namespace tintype {
namespace {

class IndexReader {
 public:
  IndexReader(const ByteSource& source, FileForm form, const ReadLimits& limits)
      : source_(source), limits_(limits) {
    index_.form = form;
  }

  Result<FrameIndex> read() {
    TINTYPE_RETURN_IF_ERROR(index_.form == FileForm::planes ? read_planes() : read_seek_table());
    if (index_.plain_bytes > limits_.image_free_bytes &&
        index_.plain_bytes / kExpansionMax > source_.size_bytes()) {
      return over_limit(
          fmt::format("expands {} bytes to {}, more than {} times: it may be made to "
                      "fill the disk",
                      source_.size_bytes(), index_.plain_bytes, kExpansionMax));
    }
    return std::move(index_);
  }

 private:
  Status damaged(std::string_view what) const { return damaged_file(source_.name(), what); }

  Status over_limit(std::string_view what,
                    std::string remedy = "decompress it with `zstd -d`") const {
    return Status::unsupported(fmt::format("'{}' {}", source_.name(), what), std::move(remedy));
  }

  Status check_count(uint64_t frame_count) const {
    if (frame_count <= limits_.frame_count) return Status::ok();
    return over_limit(fmt::format("has {} frames, over the limit of {} that are looked up",
                                  frame_count, limits_.frame_count),
                      "read it front to back: `tintype decompress -o NEW - < FILE`");
  }

  // --- planes ---

  Status read_planes() {
    if (source_.size_bytes() < kPlanesHeadBytes + kPlanesFooterBytes) return damaged("is cut off");
    TINTYPE_ASSIGN_OR_RETURN(const ByteVector head, read_range(source_, 0, kPlanesHeadBytes));
    TINTYPE_RETURN_IF_ERROR(check_planes_head(head, source_.name()));
    TINTYPE_ASSIGN_OR_RETURN(
        const ByteVector footer,
        read_range(source_, source_.size_bytes() - kPlanesFooterBytes, kPlanesFooterBytes));
    constexpr size_t kMagicOffset = 32;
    if (as_text(footer).substr(kMagicOffset) != kPlanesEndMagic) {
      return without_end();
    }
    const auto word = [&](size_t offset) { return load_little_endian<uint64_t>(footer, offset); };
    if (crc32(0, ByteView(footer).first(28)) != load_little_endian<uint32_t>(footer, 28)) {
      return damaged("has a damaged end: the CRC-32 of its last 40 bytes is another");
    }
    const uint64_t extent_count = word(8);
    TINTYPE_RETURN_IF_ERROR(check_count(extent_count));
    const uint64_t table_bytes = extent_count * kPlanesEntryBytes;
    const uint64_t behind_head = source_.size_bytes() - kPlanesHeadBytes - kPlanesFooterBytes;
    const uint64_t table_offset = source_.size_bytes() - kPlanesFooterBytes - table_bytes;
    if (table_bytes > behind_head || word(16) != table_offset) {
      return damaged("is cut off: its extent table lies elsewhere than it says");
    }
    TINTYPE_ASSIGN_OR_RETURN(const ByteVector table,
                             read_range(source_, table_offset, table_bytes));
    if (crc32(0, table) != load_little_endian<uint32_t>(footer, 24)) {
      return damaged("has a damaged extent table: its CRC-32 is another");
    }
    return read_planes_table(table, table_offset, word(0));
  }

  Status without_end() const {
    constexpr uint64_t kSearchedBytes = uint64_t{64} << 10;
    const uint64_t count = std::min(source_.size_bytes(), kSearchedBytes);
    TINTYPE_ASSIGN_OR_RETURN(const ByteVector bytes,
                             read_range(source_, source_.size_bytes() - count, count));
    const size_t found = as_text(bytes).rfind(kPlanesEndMagic);
    if (found == std::string_view::npos) {
      return damaged("is cut off: its extent table does not stand at its end");
    }
    const uint64_t end = source_.size_bytes() - count + found + kPlanesEndMagic.size();
    return damaged(fmt::format("goes on behind its end, which is at byte {} of {}", end,
                               source_.size_bytes()));
  }

  Status read_planes_table(ByteView table, uint64_t table_offset, uint64_t plain_bytes) {
    index_.extents.reserve(table.size() / kPlanesEntryBytes);
    uint64_t file_offset = kPlanesHeadBytes;
    for (size_t entry = 0; entry < table.size(); entry += kPlanesEntryBytes) {
      IndexedExtent extent{.plain_offset = index_.plain_bytes,
                           .file_offset = file_offset,
                           .plain_bytes = load_little_endian<uint32_t>(table, entry),
                           .encoded_bytes = load_little_endian<uint32_t>(table, entry + 4),
                           .checksum = load_little_endian<uint32_t>(table, entry + 8)};
      extent.payload_bytes = extent.encoded_bytes;
      if (!is_possible(extent)) return impossible(index_.extents.size());
      file_offset += extent.encoded_bytes;
      index_.plain_bytes += extent.plain_bytes;
      index_.extents.push_back(extent);
    }
    if (file_offset != table_offset || index_.plain_bytes != plain_bytes) {
      return damaged("has an extent table that does not fit its size");
    }
    return Status::ok();
  }

  Status impossible(size_t extent) const {
    return damaged(fmt::format("has an impossible size in its table, of extent {}", extent));
  }

  // --- zstd ---

  Status read_seek_table() {
    const uint64_t size_bytes = source_.size_bytes();
    if (size_bytes < kFrameHeaderBytes + kSeekFooterBytes) return damaged("is cut off");
    TINTYPE_ASSIGN_OR_RETURN(const ByteVector footer,
                             read_range(source_, size_bytes - kSeekFooterBytes, kSeekFooterBytes));
    if (load_little_endian<uint32_t>(footer, 5) != kSeekFooterMagic) {
      return damaged("has no seek table at its end");
    }
    const SeekFooter seek_footer = read_seek_footer(footer);
    if (!seek_footer.is_known) return damaged("has an unknown seek table");
    index_.has_checksums = seek_footer.has_checksums;
    TINTYPE_RETURN_IF_ERROR(check_count(seek_footer.entry_count));
    const uint64_t content_bytes = seek_footer.content_bytes();
    if (kFrameHeaderBytes + content_bytes > size_bytes) {
      return damaged("is cut off: its seek table is longer than the file");
    }
    const uint64_t table_offset = size_bytes - content_bytes - kFrameHeaderBytes;
    TINTYPE_ASSIGN_OR_RETURN(
        const ByteVector table,
        read_range(source_, table_offset, kFrameHeaderBytes + content_bytes - kSeekFooterBytes));
    if (load_little_endian<uint32_t>(table, 0) != kSeekTableMagic ||
        load_little_endian<uint32_t>(table, 4) != content_bytes) {
      return damaged("has a damaged seek table: it begins elsewhere than its end says");
    }
    return read_seek_entries(ByteView(table).subspan(kFrameHeaderBytes), seek_footer.entry_bytes(),
                             table_offset);
  }

  // Whether the table is this file's comes first, then whether it can be read by it.
  Status read_seek_entries(ByteView table, uint64_t entry_bytes, uint64_t table_offset) {
    index_.extents.reserve(table.size() / entry_bytes);
    uint64_t file_offset = 0;
    uint64_t unseen_bytes = 0;  // in front of the first frame
    for (size_t entry = 0; entry < table.size(); entry += entry_bytes) {
      const auto [frame_bytes, plain_bytes, checksum] =
          read_seek_entry(table, entry, index_.has_checksums);
      if (plain_bytes != 0) {
        index_.extents.push_back({.plain_offset = index_.plain_bytes,
                                  .file_offset = file_offset,
                                  .plain_bytes = plain_bytes,
                                  .encoded_bytes = frame_bytes,
                                  .payload_bytes = frame_bytes,
                                  .checksum = checksum});
      } else if (!index_.extents.empty()) {
        add_padding(frame_bytes);
      } else {
        unseen_bytes += frame_bytes;
      }
      index_.plain_bytes += plain_bytes;
      file_offset += frame_bytes;
    }
    if (file_offset != table_offset) return misfit(file_offset, table_offset);
    if (unseen_bytes != 0) {  // no extent's decoder would look at what zstd decodes
      return over_limit(fmt::format(
          "begins with {} bytes that are empty by its seek table, which does not show it",
          unseen_bytes));
    }
    return check_frames();
  }

  // The frames of a table end where it begins. What stands in front of them, where they begin with
  // a frame, are other files.
  Status misfit(uint64_t covered_bytes, uint64_t table_offset) const {
    if (covered_bytes < table_offset) {
      TINTYPE_ASSIGN_OR_RETURN(const ByteVector begin,
                               read_range(source_, table_offset - covered_bytes, sizeof(uint32_t)));
      const auto magic = load_little_endian<uint32_t>(begin, 0);
      if (magic == kZstdMagic || is_skippable_magic(magic)) {
        return over_limit(
            fmt::format("has a seek table of its last {} bytes only, as several files of zstd one "
                        "behind the other have",
                        source_.size_bytes() - table_offset + covered_bytes),
            "`tintype decompress` makes one of what they hold");
      }
    }
    return damaged(fmt::format("has a seek table over {} bytes in front of it instead of {}",
                               covered_bytes, table_offset));
  }

  Status check_frames() const {
    for (size_t i = 0; i < index_.extents.size(); ++i) {
      const IndexedExtent& extent = index_.extents[i];
      if (extent.payload_bytes == 0) return impossible(i);
      if (extent.plain_bytes > kPlainExtentBytesMax) {
        return over_limit(
            fmt::format("has a frame of {} bytes, over the limit of {} that are decoded at once",
                        extent.plain_bytes, kPlainExtentBytesMax));
      }
      if (extent.encoded_bytes > encoded_limit_bytes(extent.plain_bytes)) {
        return over_limit(fmt::format(
            "has a frame that takes {} bytes with its padding for {} bytes, over the limit of {}",
            extent.encoded_bytes, extent.plain_bytes, encoded_limit_bytes(extent.plain_bytes)));
      }
    }
    return Status::ok();
  }

  // What does not fit into 32 bits is over the limit in any case.
  void add_padding(uint32_t frame_bytes) {
    IndexedExtent& extent = index_.extents.back();
    if (__builtin_add_overflow(extent.encoded_bytes, frame_bytes, &extent.encoded_bytes)) {
      extent.encoded_bytes = std::numeric_limits<uint32_t>::max();
    }
  }

  const ByteSource& source_;
  const ReadLimits& limits_;
  FrameIndex index_;
};

}  // namespace

Result<bool> has_frame_index(const ByteSource& source, FileForm form) {
  if (form == FileForm::planes) return true;
  if (source.size_bytes() < kFrameHeaderBytes + kSeekFooterBytes) return false;
  TINTYPE_ASSIGN_OR_RETURN(
      const ByteVector end,
      read_range(source, source.size_bytes() - sizeof(uint32_t), sizeof(uint32_t)));
  return load_little_endian<uint32_t>(end, 0) == kSeekFooterMagic;
}

Result<FrameIndex> read_frame_index(const ByteSource& source, FileForm form,
                                    const ReadLimits& limits) {
  return IndexReader(source, form, limits).read();
}

}  // namespace tintype
