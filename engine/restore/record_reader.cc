#include "engine/restore/record_reader.h"

#include <cstring>

#include <fmt/format.h>

#include "io/archive/crc32.h"
#include "io/archive/inflate.h"

namespace tintype {
namespace {

Result<uint32_t> expand(const ByteSource& source, uint64_t offset, const ArchiveRecord& record,
                        MutableBytes target) {
  size_t filled = 0;
  const auto append = [&](ByteView piece) {
    std::memcpy(target.data() + filled, piece.data(), piece.size());
    filled += piece.size();
    return Status::ok();
  };
  TINTYPE_RETURN_IF_ERROR(inflate(source, offset, record.stored_bytes, record.size_bytes, append));
  return crc32(0, target);
}

}  // namespace

Status check_method(const ArchiveRecord& record, const ReadLimits& limits) {
  if (record.method == ZipMethod::zstd) {
    return Status::unsupported(
        fmt::format(
            "record '{}' is compressed by zstd inside of the zip, which neither this version "
            "nor torch reads",
            record.name),
        "unpack it with 7-Zip or bsdtar and store it without compression");
  }
  if (record.method == ZipMethod::deflated && record.size_bytes > limits.expansion_free_bytes &&
      record.size_bytes / limits.expansion_ratio > record.stored_bytes) {
    return Status::unsupported(fmt::format(
        "record '{}' expands {} bytes to {}, over the limit of {}:1: it may be made to fill memory",
        record.name, record.stored_bytes, record.size_bytes, limits.expansion_ratio));
  }
  return Status::ok();
}

Status crc_mismatch(const ArchiveRecord& record, uint32_t computed) {
  return Status::corruption(
      fmt::format("record '{}' (header at byte {}) is damaged: CRC-32 {:08x} instead of {:08x}",
                  record.name, record.header_offset, computed, record.crc32));
}

Status read_payload(const ByteSource& source, uint64_t payload_offset, const ArchiveRecord& record,
                    MutableBytes target, const ReadOptions& options) {
  TINTYPE_CHECK(target.size() == record.size_bytes);
  const auto crc = record.method == ZipMethod::deflated
                       ? expand(source, payload_offset, record, target)
                       : read_in_parallel(source, payload_offset, target, options);
  if (!crc.is_ok()) return crc.status().with_context(fmt::format("record '{}'", record.name));
  const bool is_right = !record.is_crc_known() || *crc == record.crc32;
  return is_right ? Status::ok() : crc_mismatch(record, *crc);
}

Result<ByteVector> read_small_payload(const ByteSource& source, const ZipIndex& index,
                                      const ArchiveRecord& record, uint64_t limit_bytes) {
  if (record.size_bytes > limit_bytes) {
    return Status::unsupported(fmt::format("record '{}' has {} bytes, over the limit of {}",
                                           record.name, record.size_bytes, limit_bytes));
  }
  TINTYPE_RETURN_IF_ERROR(check_method(record, {}));  // before the memory is taken
  TINTYPE_ASSIGN_OR_RETURN(const uint64_t payload, locate_payload(source, index, record));
  ByteVector bytes(record.size_bytes);
  TINTYPE_RETURN_IF_ERROR(read_payload(source, payload, record, bytes));
  return bytes;
}

}  // namespace tintype
