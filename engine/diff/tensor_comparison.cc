#include "engine/diff/tensor_comparison.h"

#include <algorithm>
#include <mutex>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/crc32_combine.h"
#include "engine/restore/crc_pass.h"
#include "engine/restore/record_reader.h"

namespace tintype {
namespace {

ElementFlags flags_of(const TensorEntry& tensor) {
  return {.is_conjugate = tensor.is_conjugate, .is_negative = tensor.is_negative};
}

// A tensor's elements in row-major order.
class ElementReader {
 public:
  ElementReader(ComparedArchive& compared, const TensorEntry& tensor)
      : compared_(compared), tensor_(tensor) {}

  Status prepare(const ReadOptions& options) {
    const Archive& archive = compared_.archive();
    TINTYPE_ASSIGN_OR_RETURN(record_, archive.record_of(tensor_));
    const bool is_in_place =
        tensor_.is_contiguous() && record_->method == ZipMethod::stored &&
        (archive.byte_order() == ByteOrder::little || tensor_.element_bytes == 1);
    if (!is_in_place) {
      TINTYPE_ASSIGN_OR_RETURN(whole_, archive.read_tensor(tensor_));
      compared_.mark_checked(*record_);
      return Status::ok();
    }
    TINTYPE_ASSIGN_OR_RETURN(const uint64_t payload,
                             locate_payload(archive.source(), archive.index(), *record_));
    offset_ = payload + tensor_.first_byte();
    is_crc_due_ = tensor_.size_bytes == record_->size_bytes && record_->is_crc_known() &&
                  !compared_.is_checked(*record_);
    return is_crc_due_ ? Status::ok() : compared_.check(*record_, options);
  }

  // The bytes [begin, begin + target.size()), and their CRC where one is due.
  Result<uint32_t> read(uint64_t begin, MutableBytes target) const {
    if (!whole_.empty()) {
      std::copy_n(whole_.begin() + static_cast<ptrdiff_t>(begin), target.size(), target.begin());
      return uint32_t{0};
    }
    const ByteSource& source = compared_.archive().source();
    auto crc = is_crc_due_ ? source.read_with_crc(target, offset_ + begin) : uint32_t{0};
    Status read = crc.status();
    if (!is_crc_due_) read = source.read_at(target, offset_ + begin);
    TINTYPE_RETURN_IF_ERROR(read.of_file(compared_.archive().path()));
    return crc;
  }

  Status finish(uint32_t crc) {
    if (!is_crc_due_) return Status::ok();
    compared_.mark_checked(*record_);
    if (crc == record_->crc32) return Status::ok();
    return crc_mismatch(*record_, crc).of_file(compared_.archive().path());
  }

 private:
  ComparedArchive& compared_;
  const TensorEntry& tensor_;
  const ArchiveRecord* record_ = nullptr;
  uint64_t offset_ = 0;  // of the first element in the source
  bool is_crc_due_ = false;
  ByteVector whole_;  // where it cannot be read in place
};

// What one piece came to.
struct PieceResult {
  Status status;
  uint32_t first_crc = 0;
  uint32_t second_crc = 0;
};

class TensorComparison {
 public:
  TensorComparison(ComparedArchive& first, const TensorEntry& first_tensor, ComparedArchive& second,
                   const TensorEntry& second_tensor, const Tolerance& tolerance)
      : tensor_(first_tensor),
        first_flags_(flags_of(first_tensor)),
        second_flags_(flags_of(second_tensor)),
        tolerance_(tolerance),
        source_(first.archive().source()),
        first_(first, first_tensor),
        second_(second, second_tensor) {}

  Result<ElementDifference> run(const ReadOptions& options) {
    TINTYPE_RETURN_IF_ERROR(first_.prepare(options));
    TINTYPE_RETURN_IF_ERROR(second_.prepare(options));
    std::vector<PieceResult> results(divide_up(tensor_.size_bytes, kPieceBytes));
    const uint32_t thread_count = threads_that_pay(source_, tensor_.size_bytes, options);
    std::vector<ByteVector> memory(thread_count);
    const auto work = [&](size_t piece, uint32_t thread) {
      memory[thread].resize(2 * std::min(kPieceBytes, tensor_.size_bytes));
      results[piece].status = compare(piece, memory[thread], results[piece]);
    };
    TINTYPE_RETURN_IF_ERROR(for_each_piece(results.size(), thread_count, options, work));
    TINTYPE_RETURN_IF_ERROR(check_crcs(results));
    return found_;
  }

 private:
  uint64_t size_of(size_t piece) const {
    return std::min(kPieceBytes, tensor_.size_bytes - piece * kPieceBytes);
  }

  Status compare(size_t piece, MutableBytes memory, PieceResult& result) {
    const uint64_t begin = piece * kPieceBytes;
    const MutableBytes first = memory.first(size_of(piece));
    const MutableBytes second = memory.last(size_of(piece));
    TINTYPE_ASSIGN_OR_RETURN(result.first_crc, first_.read(begin, first));
    TINTYPE_ASSIGN_OR_RETURN(result.second_crc, second_.read(begin, second));
    const ElementDifference found =
        compare_elements(tensor_.dtype, tensor_.element_bytes, first, first_flags_, second,
                         second_flags_, tolerance_);
    std::lock_guard lock(mutex_);
    found_.add(found);
    return Status::ok();
  }

  Status check_crcs(const std::vector<PieceResult>& results) {
    uint32_t first_crc = 0;
    uint32_t second_crc = 0;
    for (size_t i = 0; i < results.size(); ++i) {
      TINTYPE_RETURN_IF_ERROR(results[i].status);
      first_crc = crc32_combine(first_crc, results[i].first_crc, size_of(i));
      second_crc = crc32_combine(second_crc, results[i].second_crc, size_of(i));
    }
    TINTYPE_RETURN_IF_ERROR(first_.finish(first_crc));
    return second_.finish(second_crc);
  }

  const TensorEntry& tensor_;
  const ElementFlags first_flags_;
  const ElementFlags second_flags_;
  const Tolerance& tolerance_;
  const ByteSource& source_;
  ElementReader first_;
  ElementReader second_;
  std::mutex mutex_;
  ElementDifference found_;
};

}  // namespace

Status ComparedArchive::check(const ArchiveRecord& record, const ReadOptions& options) {
  if (is_checked(record) || !record.is_crc_known()) return Status::ok();
  const auto position = static_cast<uint32_t>(&record - archive_->records().data());
  TINTYPE_ASSIGN_OR_RETURN(
      const std::vector<RecordCheck> checks,
      check_records(archive_->source(), archive_->index(), {position}, options));
  TINTYPE_RETURN_IF_ERROR(checks.front().status.of_file(archive_->path()));
  mark_checked(record);
  return Status::ok();
}

Result<ElementDifference> compare_tensors(ComparedArchive& first, const TensorEntry& first_tensor,
                                          ComparedArchive& second, const TensorEntry& second_tensor,
                                          const Tolerance& tolerance, const ReadOptions& options) {
  if (first_tensor.size_bytes == 0) return ElementDifference{};
  return TensorComparison(first, first_tensor, second, second_tensor, tolerance).run(options);
}

}  // namespace tintype
