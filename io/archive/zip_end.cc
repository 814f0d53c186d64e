#include "io/archive/zip_end.h"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "io/archive/file_faults.h"
#include "io/archive/read_limits.h"
#include "io/archive/zip_format.h"

namespace tintype {
namespace {

constexpr uint64_t kEndBytes = 22;
constexpr uint64_t kLocatorBytes = 20;
constexpr uint64_t kZip64EndBytes = 56;
constexpr uint64_t kMaxCommentBytes = 0xFFFF;
constexpr uint16_t kSaturated16 = 0xFFFF;

Status damaged(const ByteSource& source, std::string_view what) {
  return damaged_file(source.name(), fmt::format("is damaged: {}", what));
}

// What the 22 bytes at the end say.
struct EndRecord {
  uint64_t offset = 0;  // in the source
  uint64_t comment_bytes = 0;
  uint64_t zero_bytes = 0;  // behind the comment
  bool is_one_disk = false;
  uint16_t count = 0;
  uint32_t directory_bytes = 0;
  uint32_t directory_offset = 0;
};

// The last signature decides: if it is not the end record's, other readers would disagree with us.
std::optional<EndRecord> find_end_record(ByteView tail, uint64_t tail_offset) {
  const size_t at = as_text(tail).rfind("PK\x05\x06");
  if (at == std::string_view::npos || tail.size() - at < kEndBytes) return std::nullopt;
  const ByteView record = tail.subspan(at);
  const uint64_t behind = record.size() - kEndBytes;
  EndRecord end;
  end.offset = tail_offset + at;
  end.comment_bytes = load_little_endian<uint16_t>(record, 20);
  if (end.comment_bytes > behind) return std::nullopt;
  end.zero_bytes = behind - end.comment_bytes;
  const ByteView zeros = record.last(end.zero_bytes);
  if (end.zero_bytes > kMaxTrailingZeroBytes ||
      !std::all_of(zeros.begin(), zeros.end(), [](std::byte b) { return b == std::byte{0}; })) {
    return std::nullopt;
  }
  const auto count_here = load_little_endian<uint16_t>(record, 8);
  end.count = load_little_endian<uint16_t>(record, 10);
  end.is_one_disk = load_little_endian<uint32_t>(record, 4) == 0 && count_here == end.count;
  end.directory_bytes = load_little_endian<uint32_t>(record, 12);
  end.directory_offset = load_little_endian<uint32_t>(record, 16);
  return end;
}

Result<std::optional<EndRecord>> find_end_record(const ByteSource& source, uint64_t bytes_max) {
  const uint64_t tail_bytes = std::min(source.size_bytes(), bytes_max);
  const uint64_t tail_offset = source.size_bytes() - tail_bytes;
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector tail, read_range(source, tail_offset, tail_bytes));
  return find_end_record(tail, tail_offset);
}

// Nearly always the record is the file's end. What lies before it is looked at only where it is
// not: of a compressed file that may be another extent.
Result<EndRecord> read_end_record(const ByteSource& source) {
  TINTYPE_ASSIGN_OR_RETURN(auto end, find_end_record(source, kEndBytes));
  if (!end.has_value()) {
    TINTYPE_ASSIGN_OR_RETURN(
        end, find_end_record(source, kEndBytes + kMaxCommentBytes + kMaxTrailingZeroBytes));
  }
  if (!end.has_value()) return explain_foreign_file(source);
  if (!end->is_one_disk) return damaged(source, "its end record speaks of several disks");
  return *end;
}

// Where the directory would begin if it ends at `directory_end`, as the end records say it does.
Result<DirectoryPlace> place_directory(const ByteSource& source, uint64_t directory_end,
                                       uint64_t stated_offset, uint64_t stated_bytes) {
  if (stated_bytes > directory_end || stated_offset > directory_end - stated_bytes) {
    return damaged(source, fmt::format("its end record places a directory of {} bytes at {}, which "
                                       "is outside of the file",
                                       stated_bytes, stated_offset));
  }
  DirectoryPlace place;
  place.offset = directory_end - stated_bytes;
  place.size_bytes = stated_bytes;
  place.start_offset = place.offset - stated_offset;
  return place;
}

bool agrees(uint64_t exact, uint32_t short_form) {
  return short_form == zip::kSaturated32 ? exact >= zip::kSaturated32 || exact == short_form
                                         : exact == short_form;
}

Result<DirectoryPlace> read_zip64(const ByteSource& source, const EndRecord& end,
                                  ByteView locator) {
  const uint64_t locator_offset = end.offset - kLocatorBytes;
  if (locator_offset < kZip64EndBytes) return damaged(source, "its zip64 end record is missing");
  const uint64_t zip64_offset = locator_offset - kZip64EndBytes;
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector zip64,
                           read_range(source, zip64_offset, kZip64EndBytes));
  if (as_text(zip64).substr(0, 4) != "PK\x06\x06" ||
      load_little_endian<uint64_t>(zip64, 4) != kZip64EndBytes - 12) {
    return damaged(source, "its zip64 end record is missing");
  }
  const auto count_here = load_little_endian<uint64_t>(zip64, 24);
  const auto count = load_little_endian<uint64_t>(zip64, 32);
  const auto directory_bytes = load_little_endian<uint64_t>(zip64, 40);
  const auto directory_offset = load_little_endian<uint64_t>(zip64, 48);
  TINTYPE_ASSIGN_OR_RETURN(
      DirectoryPlace place,
      place_directory(source, zip64_offset, directory_offset, directory_bytes));
  place.record_count = count;
  const bool is_one_disk = load_little_endian<uint64_t>(zip64, 16) == 0 && count_here == count &&
                           load_little_endian<uint32_t>(locator, 4) == 0 &&
                           load_little_endian<uint32_t>(locator, 16) == 1;
  const bool has_same_count =
      end.count == kSaturated16 ? count >= kSaturated16 : count == end.count;
  if (!is_one_disk || !has_same_count || !agrees(directory_bytes, end.directory_bytes) ||
      !agrees(directory_offset, end.directory_offset) ||
      load_little_endian<uint64_t>(locator, 8) != zip64_offset - place.start_offset) {
    return damaged(source, "its end records contradict each other");
  }
  return place;
}

Result<DirectoryPlace> read_place(const ByteSource& source, const EndRecord& end) {
  if (end.offset >= kLocatorBytes) {
    TINTYPE_ASSIGN_OR_RETURN(const ByteVector locator,
                             read_range(source, end.offset - kLocatorBytes, kLocatorBytes));
    if (as_text(locator).substr(0, 4) == "PK\x06\x07") return read_zip64(source, end, locator);
  }
  if (end.directory_bytes == zip::kSaturated32 || end.directory_offset == zip::kSaturated32) {
    return damaged(source, "its zip64 end record is missing");
  }
  TINTYPE_ASSIGN_OR_RETURN(
      DirectoryPlace place,
      place_directory(source, end.offset, end.directory_offset, end.directory_bytes));
  place.record_count = end.count;
  return place;
}

void add_notes(const EndRecord& end, DirectoryPlace& place) {
  if (place.start_offset != 0) {
    place.notes.push_back(fmt::format("{} bytes stand before the archive", place.start_offset));
  }
  if (end.comment_bytes != 0) {
    place.notes.push_back(fmt::format("a zip comment of {} bytes", end.comment_bytes));
  }
  if (end.zero_bytes != 0) {
    place.notes.push_back(fmt::format("{} zero bytes behind the end record", end.zero_bytes));
  }
}

}  // namespace

Result<DirectoryPlace> find_directory(const ByteSource& source) {
  if (source.size_bytes() < kEndBytes) return explain_foreign_file(source);
  TINTYPE_ASSIGN_OR_RETURN(const EndRecord end, read_end_record(source));
  TINTYPE_ASSIGN_OR_RETURN(DirectoryPlace place, read_place(source, end));
  if (place.record_count > place.size_bytes / zip::kDirectoryEntryBytes) {
    return damaged(source, fmt::format("its end record counts {} records, more than its directory "
                                       "can hold",
                                       place.record_count));
  }
  place.end_offset = end.offset + kEndBytes;
  add_notes(end, place);
  return place;
}

}  // namespace tintype
