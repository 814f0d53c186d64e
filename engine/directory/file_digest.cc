#include "engine/directory/file_digest.h"

#include <algorithm>
#include <string>

#include "io/archive/crc32.h"

namespace tintype {
namespace {

constexpr uint64_t kTailBytes = 4096;
constexpr uint64_t kEndRecordBytes = 22;
constexpr uint64_t kZip64LocatorBytes = 20;
constexpr uint64_t kZip64EndBytes = 56;
constexpr uint32_t kEndSignature = 0x06054b50;
constexpr uint32_t kZip64LocatorSignature = 0x07064b50;
constexpr uint32_t kZip64EndSignature = 0x06064b50;
constexpr uint32_t kEntrySignature = 0x02014b50;

Result<ByteVector> read_exactly(File& file, uint64_t offset, uint64_t size_bytes) {
  ByteVector bytes(size_bytes);
  uint64_t done = 0;
  while (done < size_bytes) {
    TINTYPE_ASSIGN_OR_RETURN(
        const size_t count, file.read_at(MutableBytes(bytes).subspan(done), offset + done));
    if (count == 0) {
      return Status::corruption("'" + file.path() + "' ends early, at byte " +
                                std::to_string(offset + done));
    }
    done += count;
  }
  return bytes;
}

struct DirectoryRange {
  uint64_t offset = 0;
  uint64_t size_bytes = 0;
  uint64_t limit = 0;  // where the directory must end at the latest
};

Status unsound(const File& file, std::string_view reason) {
  return Status::corruption("'" + file.path() + "' " + std::string(reason) +
                            "; it is truncated or no torch archive");
}

Result<DirectoryRange> find_zip64_directory(File& file, ByteView locator, uint64_t size_bytes) {
  const auto end_offset = load_little_endian<uint64_t>(locator, 8);
  if (end_offset > size_bytes || size_bytes - end_offset < kZip64EndBytes) {
    return unsound(file, "has an end record outside of the file");
  }
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector end, read_exactly(file, end_offset, kZip64EndBytes));
  if (load_little_endian<uint32_t>(end, 0) != kZip64EndSignature) {
    return unsound(file, "has no zip64 end record");
  }
  return DirectoryRange{.offset = load_little_endian<uint64_t>(end, 48),
                        .size_bytes = load_little_endian<uint64_t>(end, 40),
                        .limit = end_offset};
}

Result<DirectoryRange> find_directory(File& file, uint64_t size_bytes) {
  if (size_bytes < kEndRecordBytes) return unsound(file, "is too short");
  const uint64_t end_offset = size_bytes - kEndRecordBytes;
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector end, read_exactly(file, end_offset, kEndRecordBytes));
  if (load_little_endian<uint32_t>(end, 0) != kEndSignature) {
    return unsound(file, "has no end record");
  }
  if (end_offset >= kZip64LocatorBytes) {
    TINTYPE_ASSIGN_OR_RETURN(
        const ByteVector locator,
        read_exactly(file, end_offset - kZip64LocatorBytes, kZip64LocatorBytes));
    if (load_little_endian<uint32_t>(locator, 0) == kZip64LocatorSignature) {
      return find_zip64_directory(file, locator, size_bytes);
    }
  }
  return DirectoryRange{.offset = load_little_endian<uint32_t>(end, 16),
                        .size_bytes = load_little_endian<uint32_t>(end, 12),
                        .limit = end_offset};
}

}  // namespace

Result<FileDigest> read_digest(File& file) {
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo info, file.info());
  const uint64_t tail_bytes = std::min(info.size_bytes, kTailBytes);
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector tail,
                           read_exactly(file, info.size_bytes - tail_bytes, tail_bytes));
  return FileDigest{.size_bytes = info.size_bytes, .tail_crc32 = crc32(0, tail)};
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
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo info, file.info());
  TINTYPE_ASSIGN_OR_RETURN(const DirectoryRange range, find_directory(file, info.size_bytes));
  if (range.offset > range.limit || range.size_bytes > range.limit - range.offset ||
      range.size_bytes < sizeof(uint32_t)) {
    return unsound(file, "has a directory outside of the file");
  }
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector first,
                           read_exactly(file, range.offset, sizeof(uint32_t)));
  if (load_little_endian<uint32_t>(first, 0) != kEntrySignature) {
    return unsound(file, "has no directory where its end record says");
  }
  return Status::ok();
}

}  // namespace tintype
