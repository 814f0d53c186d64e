// The structure of an archive: end records, directory, local headers, descriptors, deflated data.
#include "io/archive/inflate.h"
#include "io/archive/zip_reader.h"
#include "tests/fuzz/target.h"

namespace tintype::fuzzing {
namespace {

constexpr uint64_t kInflatedBytesMax = 1u << 20;

void check_index(const MemorySource& source, const ZipIndex& index) {
  TINTYPE_CHECK(index.start_offset <= index.directory_offset);
  TINTYPE_CHECK(index.directory_offset < index.end_offset);
  TINTYPE_CHECK(index.end_offset <= source.size_bytes());
  TINTYPE_CHECK(index.by_name.size() == index.records.size());
  uint64_t offset = index.start_offset;
  for (const ArchiveRecord& record : index.records) {
    TINTYPE_CHECK(record.header_offset == offset);  // the first; the others' limits are headers
    TINTYPE_CHECK(record.header_offset < record.limit_offset);
    TINTYPE_CHECK(index.find(record.name) == &record);
    offset = record.limit_offset;
  }
  TINTYPE_CHECK(index.records.empty() || offset == index.directory_offset);
}

// Ends in exactly the size that the directory says, or in an error.
void check_inflation(const MemorySource& source, const ArchiveRecord& record, uint64_t payload) {
  if (record.method != ZipMethod::deflated || record.size_bytes > kInflatedBytesMax) return;
  uint64_t size_bytes = 0;
  const Status status =
      inflate(source, payload, record.stored_bytes, record.size_bytes, [&](ByteView piece) {
        size_bytes += piece.size();
        TINTYPE_CHECK(size_bytes <= record.size_bytes);
        return Status::ok();
      });
  if (!status.is_ok()) return check_refusal(status);
  TINTYPE_CHECK(size_bytes == record.size_bytes);
}

void check_record(const MemorySource& source, const ZipIndex& index, const ArchiveRecord& record) {
  const auto payload = locate_payload(source, index, record);
  if (!payload.is_ok()) return check_refusal(payload.status());
  TINTYPE_CHECK(*payload > record.header_offset);
  TINTYPE_CHECK(*payload + record.stored_bytes <= record.limit_offset);
  const Status descriptor = check_descriptor(source, record, *payload);
  if (!descriptor.is_ok()) check_refusal(descriptor);
  check_inflation(source, record, *payload);
}

}  // namespace
}  // namespace tintype::fuzzing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype;
  using namespace tintype::fuzzing;
  const MemorySource source(input_of(data, size), "input");
  const auto index = read_zip_index(source);
  check_same(index.status(), read_zip_index(source).status());
  if (!index.is_ok()) {
    check_refusal(index.status());
    return 0;
  }
  check_index(source, *index);
  for (const ArchiveRecord& record : index->records) check_record(source, *index, record);
  return 0;
}
