#include "engine/restore/crc_pass.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/crc32_combine.h"
#include "engine/restore/record_reader.h"
#include "io/archive/crc32.h"
#include "io/archive/inflate.h"

namespace tintype {
namespace {

constexpr uint64_t kBufferBytes = uint64_t{256} << 10;  // stays in the second-level cache

struct Piece {
  uint32_t check = 0;   // which of the checks it belongs to
  uint64_t offset = 0;  // in the payload
  uint64_t size_bytes = 0;
  uint32_t crc = 0;
  Status status;
};

class CrcPass {
 public:
  CrcPass(const ByteSource& source, const ZipIndex& index, const std::vector<uint32_t>& positions,
          const ReadLimits& limits)
      : source_(source), index_(index), positions_(positions), limits_(limits) {}

  Result<std::vector<RecordCheck>> run(const ReadOptions& options) {
    cut_pieces();
    uint64_t total_bytes = 0;
    for (const Piece& piece : pieces_) total_bytes += piece.size_bytes;
    const uint32_t thread_count = threads_that_pay(source_, total_bytes, options);
    std::vector<ByteVector> buffers(thread_count, ByteVector(kBufferBytes));
    TINTYPE_RETURN_IF_ERROR(
        for_each_piece(pieces_.size(), thread_count, options, [&](size_t i, uint32_t thread) {
          pieces_[i].status = read_piece(pieces_[i], buffers[thread]);
        }));
    return judge();
  }

 private:
  const ArchiveRecord& record_of(uint32_t check) const { return index_.records[positions_[check]]; }

  // Only what is stored can be cut; a serial source is read straight through.
  void cut_pieces() {
    checks_.resize(positions_.size());
    for (uint32_t i = 0; i < positions_.size(); ++i) {
      const ArchiveRecord& record = record_of(i);
      const bool is_whole =
          record.method != ZipMethod::stored || source_.is_serial() || !record.is_crc_known();
      const uint64_t step = is_whole ? std::max<uint64_t>(record.size_bytes, 1) : kPieceBytes;
      uint64_t offset = 0;
      do {
        pieces_.push_back({i, offset, std::min(step, record.size_bytes - offset), 0, {}});
        offset += step;
      } while (offset < record.size_bytes);
    }
  }

  Status read_piece(Piece& piece, MutableBytes buffer) {
    const ArchiveRecord& record = record_of(piece.check);
    TINTYPE_ASSIGN_OR_RETURN(const uint64_t payload, locate_payload(source_, index_, record));
    TINTYPE_RETURN_IF_ERROR(check_method(record, limits_));
    if (record.is_crc_known()) {
      const Status read = record.method == ZipMethod::stored
                              ? read_stored(payload, piece, buffer)
                              : read_deflated(payload, record, piece);
      if (!read.is_ok()) return read.with_context(fmt::format("record '{}'", record.name));
    }
    const bool is_last = piece.offset + piece.size_bytes == record.size_bytes;
    return is_last ? finish(piece.check, payload) : Status::ok();
  }

  Status read_stored(uint64_t payload, Piece& piece, MutableBytes buffer) const {
    for (uint64_t done = 0; done < piece.size_bytes;) {
      const uint64_t count = std::min<uint64_t>(piece.size_bytes - done, buffer.size());
      TINTYPE_ASSIGN_OR_RETURN(
          const uint32_t crc,
          source_.read_with_crc(buffer.first(count), payload + piece.offset + done));
      piece.crc = crc32_combine(piece.crc, crc, count);
      done += count;
    }
    return Status::ok();
  }

  Status read_deflated(uint64_t payload, const ArchiveRecord& record, Piece& piece) const {
    return inflate(source_, payload, record.stored_bytes, record.size_bytes, [&](ByteView bytes) {
      piece.crc = crc32(piece.crc, bytes);
      return Status::ok();
    });
  }

  Status finish(uint32_t check, uint64_t payload) {
    const ArchiveRecord& record = record_of(check);
    TINTYPE_RETURN_IF_ERROR(check_descriptor(source_, record, payload));
    uint64_t descriptor_bytes = 0;
    if (record.has_descriptor()) {
      // As long as torch's: 24 bytes with 64-bit sizes. Others' shorter forms leave a gap here.
      const bool is_wide = std::max(record.size_bytes, record.header_offset) >= UINT32_MAX;
      descriptor_bytes = is_wide ? 24 : 16;
    }
    checks_[check].end_offset = payload + record.stored_bytes + descriptor_bytes;
    return Status::ok();
  }

  // Pieces of a record stand together, in order.
  std::vector<RecordCheck> judge() {
    for (size_t i = 0; i < pieces_.size();) {
      const uint32_t check = pieces_[i].check;
      const ArchiveRecord& record = record_of(check);
      Status status;
      uint32_t crc = 0;
      for (; i < pieces_.size() && pieces_[i].check == check; ++i) {
        if (status.is_ok()) status = pieces_[i].status;
        crc = crc32_combine(crc, pieces_[i].crc, pieces_[i].size_bytes);
      }
      // A wrong CRC says more than a wrong descriptor, but needs all of the payload.
      if (status.is_ok() && record.is_crc_known() && crc != record.crc32) {
        status = crc_mismatch(record, crc);
      }
      checks_[check].status = std::move(status);
    }
    return std::move(checks_);
  }

  const ByteSource& source_;
  const ZipIndex& index_;
  const std::vector<uint32_t>& positions_;
  const ReadLimits& limits_;
  std::vector<Piece> pieces_;
  std::vector<RecordCheck> checks_;  // one for each position
};

}  // namespace

Result<std::vector<RecordCheck>> check_records(const ByteSource& source, const ZipIndex& index,
                                               const std::vector<uint32_t>& positions,
                                               const ReadOptions& options,
                                               const ReadLimits& limits) {
  return CrcPass(source, index, positions, limits).run(options);
}

}  // namespace tintype
