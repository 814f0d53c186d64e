#include "io/archive/zip_reader.h"

#include <algorithm>
#include <unordered_set>
#include <utility>

#include <fmt/format.h>

#include "io/archive/zip_end.h"
#include "io/archive/zip_format.h"

namespace tintype {
namespace {

constexpr uint16_t kFlagEncrypted = 0x0001;
constexpr uint32_t kDosDirectory = 0x10;  // in the external attributes
constexpr uint16_t kZip64ExtraId = 0x0001;

// "record 'data/0' (byte 123): what".
Status damaged(std::string_view name, uint64_t offset, std::string_view what) {
  return Status::corruption(fmt::format("record '{}' (byte {}): {}", name, offset, what));
}

// Replaces those of `fields` that are saturated by the values of the zip64 extra, which has them in
// this order, and in front. False where the extra is malformed, there twice, or lacks one.
bool expand_zip64(ByteView extra, std::span<uint64_t* const> fields) {
  ByteView zip64;
  bool is_found = false;
  while (extra.size() >= 4) {
    const auto id = load_little_endian<uint16_t>(extra, 0);
    const size_t length = load_little_endian<uint16_t>(extra, 2);
    if (length > extra.size() - 4) return false;
    if (id == kZip64ExtraId) {
      if (std::exchange(is_found, true)) return false;
      zip64 = extra.subspan(4, length);
    }
    extra = extra.subspan(4 + length);
  }
  size_t at = 0;
  for (uint64_t* field : fields) {
    if (*field != zip::kSaturated32) continue;
    if (zip64.size() - at < sizeof(uint64_t)) return false;
    *field = load_little_endian<uint64_t>(zip64, at);
    at += sizeof(uint64_t);
  }
  return true;
}

// Empty if the name is one that a checkpoint may have; else what is wrong with it. The root is
// named after the file that torch wrote, so it may hold control characters, or be ".."; nobody
// takes it for a place on a disk.
std::string_view fault_of_name(std::string_view name) {
  const auto is_control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
  if (name.empty()) return "it has no name";
  if (name.front() == '/') return "its name is an absolute path";
  if (name.find('\0') != std::string_view::npos) return "its name has a NUL character";
  if (name.find('\\') != std::string_view::npos) return "its name has a backslash";
  const std::string_view rest = name.substr(std::min(name.find('/'), name.size()));
  if (std::any_of(rest.begin(), rest.end(), is_control)) return "its name has control characters";
  for (size_t begin = 0; begin <= rest.size();) {
    const size_t end = std::min(rest.find('/', begin), rest.size());
    if (rest.substr(begin, end - begin) == "..") return "its name leads out of the archive ('..')";
    begin = end + 1;
  }
  return {};
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return lower;
}

bool has_same_kind(ByteView local_header, const ArchiveRecord& record) {
  return load_little_endian<uint16_t>(local_header, 6) == record.flags &&
         load_little_endian<uint16_t>(local_header, 8) == static_cast<uint16_t>(record.method);
}

// Empty if it is stored or packed in a way that is read here.
std::string what_is_foreign(const ArchiveRecord& record) {
  if ((record.flags & kFlagEncrypted) != 0) return "it is encrypted";
  if (record.method != ZipMethod::stored && record.method != ZipMethod::deflated &&
      record.method != ZipMethod::zstd) {
    return fmt::format("its compression method {} is not read here",
                       static_cast<int>(record.method));
  }
  if ((record.flags & ~(zip::kFlagUtf8 | zip::kFlagDescriptor)) == 0) return {};
  return fmt::format("its flags {:#06x} are no checkpoint's", record.flags);
}

class DirectoryReader {
 public:
  DirectoryReader(const ByteSource& source, const ReadLimits& limits)
      : source_(source), limits_(limits) {}

  Result<ZipIndex> run() {
    TINTYPE_ASSIGN_OR_RETURN(place_, find_directory(source_));
    TINTYPE_RETURN_IF_ERROR(check_limits());
    TINTYPE_ASSIGN_OR_RETURN(directory_, read_range(source_, place_.offset, place_.size_bytes));
    if (is_ordinary_zip()) return explain_ordinary_zip(source_);
    index_.start_offset = place_.start_offset;
    index_.directory_offset = place_.offset;
    index_.end_offset = place_.end_offset;
    index_.notes = std::move(place_.notes);
    index_.records.reserve(place_.record_count);
    for (uint64_t i = 0; i < place_.record_count; ++i) {
      TINTYPE_RETURN_IF_ERROR(read_entry());
    }
    if (at_ != directory_.size()) {
      return Status::corruption(fmt::format("its directory has {} bytes more than its {} entries",
                                            directory_.size() - at_, place_.record_count));
    }
    TINTYPE_RETURN_IF_ERROR(check_order());
    for (uint32_t i = 0; i < index_.records.size(); ++i) {
      index_.by_name.emplace(index_.records[i].name, i);
    }
    return std::move(index_);
  }

 private:
  Status check_limits() const {
    const auto refuse = [&](uint64_t value, uint64_t limit, std::string_view what) {
      return Status::unsupported(
          fmt::format("it has {} {}, over the limit of {}", value, what, limit));
    };
    if (place_.record_count > limits_.record_count) {
      return refuse(place_.record_count, limits_.record_count, "records");
    }
    if (place_.size_bytes > limits_.directory_bytes) {
      return refuse(place_.size_bytes, limits_.directory_bytes, "bytes of directory");
    }
    return Status::ok();
  }

  // Asked before the strict rules below are, which other zips break without being damaged. A
  // damaged checkpoint has one of these names left.
  bool is_ordinary_zip() const {
    const std::string_view names = as_text(directory_);
    const auto has = [&](std::string_view part) { return names.find(part) != names.npos; };
    return names.starts_with("PK\x01\x02") && !has("data.pkl") && !has("/version") &&
           !has("/data/");
  }

  Status entry_damaged(std::string_view name, std::string_view what) const {
    return damaged(name, place_.offset + at_, what);
  }

  Status read_entry() {
    const ByteView rest = ByteView(directory_).subspan(at_);
    if (rest.size() < zip::kDirectoryEntryBytes || as_text(rest).substr(0, 4) != "PK\x01\x02") {
      return Status::corruption(
          fmt::format("it is damaged: no directory entry at byte {}", place_.offset + at_));
    }
    const size_t name_bytes = load_little_endian<uint16_t>(rest, 28);
    const size_t extra_bytes = load_little_endian<uint16_t>(rest, 30);
    const size_t comment_bytes = load_little_endian<uint16_t>(rest, 32);
    const size_t entry_bytes = zip::kDirectoryEntryBytes + name_bytes + extra_bytes + comment_bytes;
    if (entry_bytes > rest.size()) return entry_damaged("?", "its entry ends beyond the directory");
    const std::string_view full_name = as_text(rest.subspan(zip::kDirectoryEntryBytes, name_bytes));
    TINTYPE_RETURN_IF_ERROR(check_name(full_name));
    ArchiveRecord record;
    record.name = full_name.substr(std::min(full_name.size(), index_.root.size() + 1));
    TINTYPE_RETURN_IF_ERROR(read_fields(
        rest, rest.subspan(zip::kDirectoryEntryBytes + name_bytes, extra_bytes), record));
    at_ += entry_bytes;
    index_.records.push_back(std::move(record));
    return Status::ok();
  }

  Status check_name(std::string_view name) {
    if (name.size() > limits_.name_bytes) {
      return entry_damaged(name.substr(0, 80), "its name is longer than any checkpoint's");
    }
    if (const auto fault = fault_of_name(name); !fault.empty()) return entry_damaged(name, fault);
    const size_t slash = name.find('/');
    if (slash == std::string_view::npos) return entry_damaged(name, "it lies in no directory");
    if (names_.empty()) index_.root = name.substr(0, slash);
    if (name.substr(0, slash) != index_.root) {
      return entry_damaged(name, fmt::format("it lies outside of '{}/'", index_.root));
    }
    if (!names_.insert(lower_case(name)).second) {
      return entry_damaged(name, "a second record has this name");
    }
    return Status::ok();
  }

  Status read_fields(ByteView entry, ByteView extra, ArchiveRecord& record) const {
    record.flags = load_little_endian<uint16_t>(entry, 8);
    record.method = static_cast<ZipMethod>(load_little_endian<uint16_t>(entry, 10));
    record.crc32 = load_little_endian<uint32_t>(entry, 16);
    record.stored_bytes = load_little_endian<uint32_t>(entry, 20);
    record.size_bytes = load_little_endian<uint32_t>(entry, 24);
    uint64_t relative_offset = load_little_endian<uint32_t>(entry, 42);
    uint64_t* const fields[] = {&record.size_bytes, &record.stored_bytes, &relative_offset};
    if (!expand_zip64(extra, fields)) {
      return entry_damaged(record.name, "its 64-bit sizes are missing");
    }
    if (load_little_endian<uint16_t>(entry, 34) != 0) {
      return entry_damaged(record.name, "it lies on another disk");
    }
    // torch's reader takes a record so marked for a directory and leaves its bytes unread.
    const bool is_directory = (load_little_endian<uint32_t>(entry, 38) & kDosDirectory) != 0 ||
                              record.name.ends_with('/');
    if (is_directory && record.size_bytes != 0) {
      return entry_damaged(record.name, "it is marked as a directory, but has a size");
    }
    if (relative_offset > place_.offset - place_.start_offset) {
      return entry_damaged(record.name, "it lies outside of the file");
    }
    record.header_offset = place_.start_offset + relative_offset;
    TINTYPE_RETURN_IF_ERROR(check_kind(record));
    if (record.method == ZipMethod::stored && record.stored_bytes != record.size_bytes) {
      return entry_damaged(record.name, "its two sizes differ though it is not compressed");
    }
    return Status::ok();
  }

  // Another program's archive is sound where both of a record's headers say the same of it.
  Status check_kind(const ArchiveRecord& record) const {
    const std::string what = what_is_foreign(record);
    if (what.empty()) return Status::ok();
    const auto header = read_range(source_, record.header_offset, zip::kLocalHeaderBytes);
    if (!header.is_ok() || !has_same_kind(*header, record)) {
      return entry_damaged(record.name, what);
    }
    return Status::unsupported(fmt::format("record '{}': {}", record.name, what),
                               "unpack it with 7-Zip, and pack it again without compression");
  }

  // Sorts by place; no record may reach into the next or into the directory.
  Status check_order() {
    auto& records = index_.records;
    const auto by_offset = [](const ArchiveRecord& a, const ArchiveRecord& b) {
      return a.header_offset < b.header_offset;
    };
    std::stable_sort(records.begin(), records.end(), by_offset);
    for (size_t i = 0; i < records.size(); ++i) {
      ArchiveRecord& record = records[i];
      record.limit_offset =
          i + 1 < records.size() ? records[i + 1].header_offset : index_.directory_offset;
      const uint64_t room = record.limit_offset - record.header_offset;
      const uint64_t header = zip::kLocalHeaderBytes + index_.root.size() + 1 + record.name.size();
      if (header > room || record.stored_bytes > room - header) {
        return damaged(record.name, record.header_offset,
                       fmt::format("its {} bytes reach into what follows at byte {}",
                                   record.stored_bytes, record.limit_offset));
      }
    }
    if (!records.empty() && records.front().header_offset != index_.start_offset) {
      return damaged(records.front().name, index_.start_offset,
                     "the archive does not begin with a record");
    }
    return Status::ok();
  }

  const ByteSource& source_;
  const ReadLimits& limits_;
  DirectoryPlace place_;
  ByteVector directory_;
  size_t at_ = 0;
  std::unordered_set<std::string> names_;  // lower case
  ZipIndex index_;
};

// CRC and sizes in a local header that has no descriptor.
bool has_same_sizes(ByteView header, ByteView extra, const ArchiveRecord& record) {
  uint64_t stored = load_little_endian<uint32_t>(header, 18);
  uint64_t size = load_little_endian<uint32_t>(header, 22);
  uint64_t* const fields[] = {&size, &stored};
  return load_little_endian<uint32_t>(header, 14) == record.crc32 && expand_zip64(extra, fields) &&
         stored == record.stored_bytes && size == record.size_bytes;
}

}  // namespace

const ArchiveRecord* ZipIndex::find(std::string_view name) const {
  const auto found = by_name.find(name);
  return found == by_name.end() ? nullptr : &records[found->second];
}

Result<ZipIndex> read_zip_index(const ByteSource& source, const ReadLimits& limits) {
  auto index = DirectoryReader(source, limits).run();
  if (!index.is_ok()) return index.status().of_file(source.name());
  return index;
}

Result<uint64_t> locate_payload(const ByteSource& source, const ZipIndex& index,
                                const ArchiveRecord& record) {
  const auto wrong = [&](std::string_view what) {
    return damaged(record.name, record.header_offset, what);
  };
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector header,
                           read_range(source, record.header_offset, zip::kLocalHeaderBytes));
  if (as_text(header).substr(0, 4) != "PK\x03\x04") return wrong("no local header stands there");
  const size_t name_bytes = load_little_endian<uint16_t>(header, 26);
  const size_t extra_bytes = load_little_endian<uint16_t>(header, 28);
  const uint64_t room = record.limit_offset - record.header_offset - zip::kLocalHeaderBytes;
  if (name_bytes + extra_bytes > room || record.stored_bytes > room - name_bytes - extra_bytes) {
    return wrong(fmt::format("its header leaves no room for its {} bytes", record.stored_bytes));
  }
  TINTYPE_ASSIGN_OR_RETURN(
      const ByteVector tail,
      read_range(source, record.header_offset + zip::kLocalHeaderBytes, name_bytes + extra_bytes));
  const std::string_view name = as_text(tail).substr(0, name_bytes);
  if (name != index.root + "/" + record.name) {
    return wrong("its local header has another name than the directory");
  }
  if (!has_same_kind(header, record)) {
    return wrong("its local header has other flags or another method than the directory");
  }
  if (!record.has_descriptor() &&
      !has_same_sizes(header, ByteView(tail).subspan(name_bytes), record)) {
    return wrong("its local header has another CRC or size than the directory");
  }
  return record.header_offset + zip::kLocalHeaderBytes + name_bytes + extra_bytes;
}

Status check_descriptor(const ByteSource& source, const ArchiveRecord& record,
                        uint64_t payload_offset) {
  if (!record.has_descriptor()) return Status::ok();
  const uint64_t offset = payload_offset + record.stored_bytes;
  ByteVector wide;  // the longest form: signature, CRC, 64-bit sizes
  append_text(wide, "PK\x07\x08");
  append_little_endian(wide, record.crc32);
  append_little_endian(wide, record.stored_bytes);
  append_little_endian(wide, record.size_bytes);
  ByteVector narrow(wide.begin(), wide.begin() + 8);
  append_little_endian(narrow, static_cast<uint32_t>(record.stored_bytes));
  append_little_endian(narrow, static_cast<uint32_t>(record.size_bytes));

  const uint64_t room = std::min<uint64_t>(record.limit_offset - offset, wide.size());
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector bytes, read_range(source, offset, room));
  const bool is_narrow =
      record.stored_bytes <= zip::kSaturated32 && record.size_bytes <= zip::kSaturated32;
  if (as_text(bytes) == as_text(wide) ||
      (is_narrow && as_text(bytes).starts_with(as_text(narrow)))) {
    return Status::ok();
  }
  return damaged(record.name, offset,
                 "the copy of CRC and sizes behind it differs from the directory");
}

}  // namespace tintype
