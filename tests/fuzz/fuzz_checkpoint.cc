// Whole checkpoints of any form, by the three who read them: inspect, verify and load. What one of
// them takes for sound must be sound for the others.
#include <memory>
#include <string>
#include <unordered_set>

#include "engine/restore/archive.h"
#include "engine/restore/checked_reader.h"
#include "engine/restore/verify.h"
#include "tests/fuzz/target.h"

namespace tintype::fuzzing {
namespace {

constexpr uint64_t kPayloadBytesMax = 1u << 20;
const ReadLimits kLimits = {.expanded_tensor_bytes = kPayloadBytesMax,
                            .image_free_bytes = kPayloadBytesMax,
                            .streamed_image_bytes = kPayloadBytesMax,
                            .streamed_window_log = 20};

bool is_small(const Archive& archive) {
  uint64_t total_bytes = 0;
  for (const ArchiveRecord& record : archive.records()) {
    if (record.size_bytes > kPayloadBytesMax) return false;
    total_bytes += record.size_bytes;
  }
  return total_bytes <= 8 * kPayloadBytesMax;
}

// Every payload that verify compared and called sound, and all that tensors show of them.
void check_archive(const Archive& archive, bool is_sound) {
  if (!is_small(archive)) return;
  ByteVector payload;
  for (const ArchiveRecord& record : archive.records()) {
    payload.resize(record.size_bytes);
    const Status status = archive.read_record(record, payload);
    if (!status.is_ok()) check_refusal(status);
    TINTYPE_CHECK(!is_sound || !record.is_crc_known() || status.is_ok());
  }
  for (const TensorEntry& tensor : archive.tensors()) {
    TINTYPE_CHECK(archive.find_tensor(tensor.name) == &tensor);
    if (tensor.form == TensorEntry::Form::meta) continue;
    const auto elements = archive.read_tensor(tensor);
    if (elements.is_ok()) {
      TINTYPE_CHECK(elements->size() == tensor.size_bytes);
    } else {
      check_refusal(elements.status());
    }
  }
}

// As torch reads: the end first, then payloads; here everything, from the front.
void check_loading(ByteView input, bool is_sound) {
  auto image = image_of(std::make_unique<SerialSource>(input), kLimits);
  if (!image.is_ok() || image->source->size_bytes() > kPayloadBytesMax) return;
  const auto reader = CheckedReader::open(std::move(image->source), {});
  if (!reader.is_ok()) return check_refusal(reader.status());
  ByteVector bytes((*reader)->size_bytes());
  const Status read = (*reader)->read(bytes, 0);
  const Status finished = (*reader)->finish();
  if (!read.is_ok()) check_refusal(read);
  if (!finished.is_ok()) check_refusal(finished);
  TINTYPE_CHECK(!is_sound || (read.is_ok() && finished.is_ok()));
}

// As torch reads where no storage was chosen: each header, and the payload where that places it.
void check_loading_of_parts(ByteView input, const Archive& archive) {
  auto image = image_of(std::make_unique<SerialSource>(input), kLimits);
  if (!image.is_ok() || !is_small(archive)) return;
  const StorageChoice none{std::unordered_set<std::string>()};
  const auto reader = CheckedReader::open(std::move(image->source), {.storages = none});
  if (!reader.is_ok()) return check_refusal(reader.status());
  for (const ArchiveRecord& record : archive.records()) {
    ByteVector header(30);
    const uint64_t begin = record.header_offset - (*reader)->start_offset();
    Status status = (*reader)->read(header, begin);
    if (!status.is_ok()) {
      check_refusal(status);
      continue;
    }
    const uint64_t payload = begin + header.size() + load_little_endian<uint16_t>(header, 26) +
                             load_little_endian<uint16_t>(header, 28);
    ByteVector bytes(record.stored_bytes);
    if (payload + bytes.size() > (*reader)->size_bytes()) continue;
    status = (*reader)->read(bytes, payload);
    if (!status.is_ok()) check_refusal(status);
    if (bytes.empty()) continue;
    status = (*reader)->read(MutableBytes(bytes).first(1), payload);  // a part of it
    if (!status.is_ok()) check_refusal(status);
  }
}

}  // namespace
}  // namespace tintype::fuzzing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  using namespace tintype::fuzzing;
  const ByteView input = input_of(data, size);
  auto image = image_of(std::make_unique<SerialSource>(input), kLimits);
  if (!image.is_ok()) {
    check_refusal(image.status());
    return 0;
  }
  const auto report = verify(std::make_unique<SerialSource>(input),
                             {.reading = {.thread_count = 1}, .limits = kLimits});
  if (!report.is_ok()) check_refusal(report.status());
  const bool is_sound = report.is_ok() && report->is_ok();
  const auto archive = Archive::open(std::move(*image), kLimits);
  if (archive.is_ok()) {
    check_archive(**archive, is_sound);
    check_loading_of_parts(input, **archive);
  } else {
    check_refusal(archive.status());
    TINTYPE_CHECK(!is_sound || archive.status().code() == StatusCode::unsupported);
  }
  check_loading(input, is_sound);
  return 0;
}
