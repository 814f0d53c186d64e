#include "engine/restore/checked_reader.h"

#include <algorithm>
#include <utility>

#include "engine/restore/checkpoint_marks.h"
#include "engine/restore/crc_pass.h"
#include "engine/restore/huge_pages.h"
#include "engine/restore/record_reader.h"
#include "engine/restore/stand_in_header.h"
#include "io/archive/record_names.h"

namespace tintype {
namespace {

constexpr uint64_t kCommentLengthBytes = 2;  // the last field of the end record

}  // namespace

Result<std::unique_ptr<CheckedReader>> CheckedReader::open(std::shared_ptr<const ByteSource> source,
                                                           CheckedReadOptions options) {
  TINTYPE_ASSIGN_OR_RETURN(ZipIndex index, read_zip_index(*source, options.limits));
  TINTYPE_RETURN_IF_ERROR(check_kind(*source, index).status());
  return std::unique_ptr<CheckedReader>(
      new CheckedReader(std::move(source), std::move(index), std::move(options)));
}

CheckedReader::CheckedReader(std::shared_ptr<const ByteSource> source, ZipIndex index,
                             CheckedReadOptions options)
    : source_(std::move(source)),
      structure_(*source_),
      index_(std::move(index)),
      options_(std::move(options)),
      payloads_(index_.records.size(), 0) {
  for (const ArchiveRecord& record : index_.records) {
    const bool is_wanted = options_.storages.wants(record.name);
    states_.push_back(!is_wanted             ? RecordState::left_out
                      : options_.is_checking ? RecordState::unchecked
                                             : RecordState::checked);
    // An expanded one is read in pieces, and so read after all.
    has_stand_in_.push_back(!is_wanted && record.method == ZipMethod::stored);
  }
  expect_wanted();
}

// So that a source that decodes ahead does it for what is going to be read.
void CheckedReader::expect_wanted() const {
  if (options_.storages.is_all()) return;
  std::vector<ByteRange> wanted;
  for (size_t i = 0; i < states_.size(); ++i) {
    const ArchiveRecord& record = index_.records[i];
    if (!has_stand_in_[i]) wanted.push_back({record.header_offset, record.limit_offset});
  }
  source_->expect_only(wanted);
}

std::optional<size_t> CheckedReader::record_at(uint64_t offset) const {
  const auto& records = index_.records;
  if (records.empty() || offset >= index_.directory_offset) return std::nullopt;
  const auto begins_behind = [](uint64_t at, const ArchiveRecord& record) {
    return at < record.header_offset;
  };
  const auto next = std::upper_bound(records.begin(), records.end(), offset, begins_behind);
  return static_cast<size_t>(next - records.begin()) - 1;  // the archive begins with a record
}

Result<uint64_t> CheckedReader::payload_of(size_t position) {
  if (payloads_[position] == 0) {
    TINTYPE_ASSIGN_OR_RETURN(payloads_[position],
                             locate_payload(structure_, index_, index_.records[position]));
  }
  return payloads_[position];
}

Result<uint64_t> CheckedReader::shown_payload_of(size_t position) {
  if (!has_stand_in_[position]) return payload_of(position);
  return assumed_payload(index_, index_.records[position]);
}

std::vector<std::string> CheckedReader::compressed_storages() const {
  std::vector<std::string> names;
  for (const ArchiveRecord& record : index_.records) {
    const bool is_storage = record.name.starts_with(kStoragePrefix);
    if (is_storage && record.method != ZipMethod::stored) names.push_back(record.name);
  }
  return names;
}

Status CheckedReader::read(MutableBytes target, uint64_t offset) {
  TINTYPE_RETURN_IF_ERROR(read_as_it_is(target, offset).of_file(source_->name()));
  const uint64_t field = size_bytes() - kCommentLengthBytes;
  for (uint64_t at = std::max(field, offset); at < offset + target.size(); ++at) {
    target[at - offset] = std::byte{0};
  }
  return Status::ok();
}

Status CheckedReader::read_as_it_is(MutableBytes target, uint64_t offset) {
  const uint64_t begin = index_.start_offset + offset;
  const uint64_t end = begin + target.size();
  const auto position = record_at(begin);
  if (!position.has_value()) return structure_.read_at(target, begin);
  const ArchiveRecord& record = index_.records[*position];
  TINTYPE_ASSIGN_OR_RETURN(const uint64_t payload, shown_payload_of(*position));
  const uint64_t payload_end = payload + record.stored_bytes;
  if (has_stand_in_[*position] && end <= payload) {
    const ByteVector header = stand_in_header(index_, record, payload);
    const ByteView wanted = ByteView(header).subspan(begin - record.header_offset, target.size());
    std::copy(wanted.begin(), wanted.end(), target.begin());
    return Status::ok();
  }
  if (begin < payload || end > payload_end) return structure_.read_at(target, begin);
  const bool is_whole = begin == payload && end == payload_end;
  if (is_whole && record.method == ZipMethod::stored) {
    return read_payload_of(*position, target);
  }
  const bool is_left_out = states_[*position] == RecordState::left_out && options_.is_checking;
  if (states_[*position] == RecordState::unchecked || is_left_out) {
    TINTYPE_RETURN_IF_ERROR(check({static_cast<uint32_t>(*position)}));
  }
  TINTYPE_ASSIGN_OR_RETURN(const uint64_t real_payload, payload_of(*position));
  return source_->read_at(target, real_payload + (begin - payload));
}

Status CheckedReader::read_payload_of(size_t position, MutableBytes target) {
  const ArchiveRecord& record = index_.records[position];
  const RecordState state = states_[position];
  if (state == RecordState::left_out) {
    left_out_ = position;
    return Status::ok();
  }
  TINTYPE_ASSIGN_OR_RETURN(const uint64_t payload, payload_of(position));
  advise_huge_pages(target);
  if (state == RecordState::checked) {
    return read_in_parallel(*source_, payload, target, options_.reading).status();
  }
  TINTYPE_RETURN_IF_ERROR(read_payload(*source_, payload, record, target, options_.reading));
  TINTYPE_RETURN_IF_ERROR(check_descriptor(structure_, record, payload));
  states_[position] = RecordState::checked;
  return Status::ok();
}

std::optional<std::string> CheckedReader::take_left_out() {
  const auto position = std::exchange(left_out_, std::nullopt);
  if (!position.has_value()) return std::nullopt;
  return index_.records[*position].name.substr(kStoragePrefix.size());
}

Status CheckedReader::finish() {
  std::vector<uint32_t> left;
  for (uint32_t i = 0; i < states_.size(); ++i) {
    if (states_[i] == RecordState::unchecked) left.push_back(i);
  }
  return check(left).of_file(source_->name());
}

Status CheckedReader::check(const std::vector<uint32_t>& positions) {
  TINTYPE_ASSIGN_OR_RETURN(const auto checks,
                           check_records(*source_, index_, positions, options_.reading));
  for (size_t i = 0; i < checks.size(); ++i) {
    TINTYPE_RETURN_IF_ERROR(checks[i].status);
    states_[positions[i]] = RecordState::checked;
  }
  return Status::ok();
}

}  // namespace tintype
