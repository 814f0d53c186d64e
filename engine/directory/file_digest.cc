#include "engine/directory/file_digest.h"

#include <algorithm>
#include <string>

#include "engine/restore/file_source.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/crc32.h"
#include "io/archive/zip_reader.h"

namespace tintype {
namespace {

constexpr uint64_t kTailBytes = 4096;

}  // namespace

Result<FileDigest> read_digest(File& file) {
  TINTYPE_ASSIGN_OR_RETURN(const auto source, FileSource::over(file));
  const uint64_t tail_bytes = std::min(source->size_bytes(), kTailBytes);
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector tail,
                           read_range(*source, source->size_bytes() - tail_bytes, tail_bytes));
  return FileDigest{.size_bytes = source->size_bytes(), .tail_crc32 = crc32(0, tail)};
}

Result<FileDigest> read_digest(Directory& directory, std::string_view name) {
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo info, directory.info(name));
  if (info.kind != FileInfo::Kind::regular) {
    return Status::invalid_argument("'" + directory.path() + "/" + std::string(name) +
                                    "' is not a regular file");
  }
  TINTYPE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, directory.open(name, false));
  return read_digest(*file);
}

Status check_end_records(File& file) {
  TINTYPE_ASSIGN_OR_RETURN(const auto source, FileSource::over(file));
  TINTYPE_ASSIGN_OR_RETURN(const FileForm form, detect_form(*source));
  if (form != FileForm::plain) return read_frame_index(*source, form).status();
  const ReadLimits limits = ReadLimits().in_proportion_to(source->size_bytes());
  TINTYPE_ASSIGN_OR_RETURN(const ZipIndex index, read_zip_index(*source, limits));
  if (index.start_offset == 0 && index.end_offset == source->size_bytes()) return Status::ok();
  return Status::corruption("'" + file.path() +
                            "' has bytes before or behind its archive; it is "
                            "not as it was written");
}

bool is_whole_file(File& file) {
  if (!file.path().ends_with(".json")) return check_end_records(file).is_ok();
  const Result<FileInfo> info = file.info();
  return info.is_ok() && info->size_bytes > 0;
}

}  // namespace tintype
