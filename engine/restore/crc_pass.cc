#include "engine/restore/crc_pass.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "base/crc32_combine.h"
#include "base/threads.h"
#include "engine/restore/record_reader.h"
#include "io/archive/crc32.h"
#include "io/archive/inflate.h"

namespace tintype {
namespace {

constexpr uint64_t kPieceBytes = uint64_t{8} << 20;      // what one thread takes at a time
constexpr uint64_t kBufferBytes = uint64_t{512} << 10;   // stays in the second-level cache
constexpr uint64_t kBytesPerThread = uint64_t{4} << 20;  // a thread is worth that much
constexpr uint32_t kMaxThreads = 16;
constexpr auto kAskInterval = std::chrono::milliseconds(20);

struct Piece {
  uint32_t record = 0;
  uint64_t offset = 0;  // in the payload
  uint64_t size_bytes = 0;
  uint32_t crc = 0;
  Status status;
};

class CrcPass {
 public:
  CrcPass(const ByteSource& source, const ZipIndex& index, const VerifyOptions& options)
      : source_(source), index_(index), options_(options) {}

  Result<std::vector<RecordCheck>> run() {
    cut_pieces();
    std::vector<std::thread> helpers;
    for (uint32_t i = threads_that_pay(); i > 1; --i) {
      helpers.push_back(start_thread("tintype-crc", [this] { work({}); }));
    }
    work(options_.is_interrupted);
    for (std::thread& helper : helpers) helper.join();
    if (is_stopped_) return Status(StatusCode::interrupted, "the check was interrupted");
    return judge();
  }

 private:
  uint32_t threads_that_pay() const {
    if (source_.is_serial()) return 1;
    uint64_t total_bytes = 0;
    for (const Piece& piece : pieces_) total_bytes += piece.size_bytes;
    const uint64_t useful = std::min<uint64_t>(total_bytes / kBytesPerThread + 1, kMaxThreads);
    const uint32_t available = options_.thread_count != 0
                                   ? options_.thread_count
                                   : std::max(1u, std::thread::hardware_concurrency());
    return static_cast<uint32_t>(std::min<uint64_t>(useful, available));
  }

  // Only what is stored can be cut; a serial source is read straight through.
  void cut_pieces() {
    for (uint32_t i = 0; i < index_.records.size(); ++i) {
      const ArchiveRecord& record = index_.records[i];
      checks_.emplace_back();
      if (!is_wanted(record, options_)) continue;
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

  void work(const std::function<bool()>& is_interrupted) {
    ByteVector buffer(kBufferBytes);
    auto asked = std::chrono::steady_clock::now();
    for (size_t i = next_++; i < pieces_.size() && !is_stopped_; i = next_++) {
      pieces_[i].status = read_piece(pieces_[i], buffer);
      if (is_interrupted && std::chrono::steady_clock::now() - asked > kAskInterval) {
        asked = std::chrono::steady_clock::now();
        if (is_interrupted()) is_stopped_ = true;
      }
    }
  }

  Status read_piece(Piece& piece, MutableBytes buffer) {
    const ArchiveRecord& record = index_.records[piece.record];
    TINTYPE_ASSIGN_OR_RETURN(const uint64_t payload, locate_payload(source_, index_, record));
    TINTYPE_RETURN_IF_ERROR(check_method(record, options_.limits));
    if (record.is_crc_known()) {
      const Status read = record.method == ZipMethod::stored
                              ? read_stored(payload, piece, buffer)
                              : read_deflated(payload, record, piece);
      if (!read.is_ok()) return read.with_context(fmt::format("record '{}'", record.name));
    }
    const bool is_last = piece.offset + piece.size_bytes == record.size_bytes;
    return is_last ? finish(record, payload) : Status::ok();
  }

  Status read_stored(uint64_t payload, Piece& piece, MutableBytes buffer) const {
    for (uint64_t done = 0; done < piece.size_bytes;) {
      const uint64_t count = std::min<uint64_t>(piece.size_bytes - done, buffer.size());
      TINTYPE_RETURN_IF_ERROR(source_.read_at(buffer.first(count), payload + piece.offset + done));
      piece.crc = crc32(piece.crc, buffer.first(count));
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

  Status finish(const ArchiveRecord& record, uint64_t payload) {
    TINTYPE_RETURN_IF_ERROR(check_descriptor(source_, record, payload));
    RecordCheck& check = checks_[static_cast<size_t>(&record - index_.records.data())];
    uint64_t descriptor_bytes = 0;
    if (record.has_descriptor()) {
      // As long as torch's: 24 bytes with 64-bit sizes. Others' shorter forms leave a gap here.
      const bool is_wide = std::max(record.size_bytes, record.header_offset) >= UINT32_MAX;
      descriptor_bytes = is_wide ? 24 : 16;
    }
    check.end_offset = payload + record.stored_bytes + descriptor_bytes;
    return Status::ok();
  }

  // Pieces of a record stand together, in order.
  std::vector<RecordCheck> judge() {
    for (size_t i = 0; i < pieces_.size();) {
      const uint32_t index = pieces_[i].record;
      const ArchiveRecord& record = index_.records[index];
      Status status;
      uint32_t crc = 0;
      for (; i < pieces_.size() && pieces_[i].record == index; ++i) {
        if (status.is_ok()) status = pieces_[i].status;
        crc = crc32_combine(crc, pieces_[i].crc, pieces_[i].size_bytes);
      }
      // A wrong CRC says more than a wrong descriptor, but needs all of the payload.
      if (status.is_ok() && record.is_crc_known() && crc != record.crc32) {
        status = crc_mismatch(record, crc);
      }
      checks_[index].status = std::move(status);
    }
    return std::move(checks_);
  }

  const ByteSource& source_;
  const ZipIndex& index_;
  const VerifyOptions& options_;
  std::vector<Piece> pieces_;
  std::vector<RecordCheck> checks_;
  std::atomic<size_t> next_{0};
  std::atomic<bool> is_stopped_{false};
};

}  // namespace

bool is_wanted(const ArchiveRecord& record, const VerifyOptions& options) {
  constexpr std::string_view kStorages = "data/";
  if (!options.storage_keys.has_value() || !record.name.starts_with(kStorages)) return true;
  return options.storage_keys->contains(record.name.substr(kStorages.size()));
}

Result<std::vector<RecordCheck>> check_records(const ByteSource& source, const ZipIndex& index,
                                               const VerifyOptions& options) {
  return CrcPass(source, index, options).run();
}

}  // namespace tintype
