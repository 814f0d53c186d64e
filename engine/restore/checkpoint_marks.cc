#include "engine/restore/checkpoint_marks.h"

#include <charconv>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "engine/restore/record_reader.h"
#include "io/archive/file_faults.h"
#include "io/archive/record_names.h"
#include "io/archive/zip_end.h"

namespace tintype {
namespace {

constexpr uint64_t kMaxMarkBytes = 64;
constexpr int kOldestVersion = 1;
constexpr int kNewestVersion = 10;  // kMaxSupportedFileFormatVersion of torch 2.11

Result<std::string> read_mark(const ByteSource& source, const ZipIndex& index,
                              const ArchiveRecord& record) {
  const auto bytes = read_small_payload(source, index, record, kMaxMarkBytes);
  if (!bytes.is_ok()) return bytes.status().of_file(source.name());
  return std::string(as_text(*bytes));
}

Status unsupported(const ByteSource& source, std::string_view what, std::string remedy) {
  return Status::unsupported(fmt::format("'{}' {}", source.name(), what), std::move(remedy))
      .with_path(source.name());
}

Status check_version(const ByteSource& source, const ZipIndex& index) {
  const ArchiveRecord* record = index.find(kVersionRecord);
  if (record == nullptr) record = index.find(".data/version");
  if (record == nullptr) {
    return unsupported(source, "has no record 'version', so it was not written by torch.save",
                       "save it again with tintype.save");
  }
  TINTYPE_ASSIGN_OR_RETURN(const std::string text, read_mark(source, index, *record));
  int version = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), version);
  if (parsed.ec != std::errc() || version < kOldestVersion) {
    return damaged_file(source.name(), "is damaged: its record 'version' holds no version");
  }
  if (version <= kNewestVersion) return Status::ok();
  return unsupported(source,
                     fmt::format("has format version {}, newer than the {} that this version reads",
                                 version, kNewestVersion),
                     "update tintype and torch");
}

Result<ByteOrder> read_byte_order(const ByteSource& source, const ZipIndex& index) {
  const ArchiveRecord* record = index.find(kByteOrderRecord);
  if (record == nullptr) return ByteOrder::little;  // before torch 2.1
  TINTYPE_ASSIGN_OR_RETURN(const std::string text, read_mark(source, index, *record));
  if (text == "little") return ByteOrder::little;
  if (text == "big") return ByteOrder::big;
  return damaged_file(source.name(),
                      "is damaged: its record 'byteorder' holds neither 'little' nor 'big'");
}

}  // namespace

Result<ByteOrder> check_kind(const ByteSource& source, const ZipIndex& index) {
  if (index.find("constants.pkl") != nullptr) {
    return unsupported(source, "is a TorchScript archive, not a checkpoint",
                       "read it with torch.jit.load and save its state_dict() with tintype.save");
  }
  if (index.find(kPickleRecord) == nullptr) return explain_ordinary_zip(source);
  TINTYPE_RETURN_IF_ERROR(check_version(source, index));
  return read_byte_order(source, index);
}

}  // namespace tintype
