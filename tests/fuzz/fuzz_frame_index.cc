// The tables at the end of both compressed forms: a seek table of zstd, a table of planes. The
// input is the end of a file. It is read as a whole file, and as the end of one that has the size
// it says and CRCs that fit: a file with a hole, of which only the tables are in memory.
#include <algorithm>
#include <cstring>

#include "io/archive/compressed_form.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/crc32.h"
#include "tests/fuzz/target.h"

namespace tintype::fuzzing {
namespace {

constexpr uint64_t kFileBytesMax = uint64_t{1} << 62;
const ReadLimits kLimits = {.frame_count = 5000};  // more than an input can hold

// `head`, zeros, and `tail`.
class HollowFile final : public ByteSource {
 public:
  HollowFile(ByteView head, uint64_t size_bytes, ByteView tail)
      : head_(head), size_bytes_(size_bytes), tail_(tail) {}

  uint64_t size_bytes() const override { return size_bytes_; }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    TINTYPE_RETURN_IF_ERROR(check_range(*this, offset, target.size()));
    std::fill(target.begin(), target.end(), std::byte{0});
    place(head_, 0, target, offset);
    place(tail_, size_bytes_ - tail_.size(), target, offset);
    return Status::ok();
  }
  const std::string& name() const override { return name_; }

 private:
  // What `target`, which begins at `offset` of the file, has of `part`, which begins at `begin`.
  static void place(ByteView part, uint64_t begin, MutableBytes target, uint64_t offset) {
    const uint64_t from = std::max(begin, offset);
    const uint64_t to = std::min(begin + part.size(), offset + target.size());
    if (from >= to) return;
    std::memcpy(&target[from - offset], &part[from - begin], to - from);
  }

  const ByteView head_;
  const uint64_t size_bytes_;
  const ByteView tail_;
  const std::string name_ = "input";
};

void check_index(const FrameIndex& index, const ByteSource& file) {
  uint64_t plain_offset = 0;
  uint64_t file_offset = 0;
  for (size_t i = 0; i < index.extents.size(); ++i) {
    const IndexedExtent& extent = index.extents[i];
    TINTYPE_CHECK(extent.plain_bytes > 0 && extent.plain_bytes <= kPlainExtentBytesMax);
    TINTYPE_CHECK(extent.payload_bytes > 0 && extent.payload_bytes <= extent.encoded_bytes);
    TINTYPE_CHECK(extent.plain_offset == plain_offset);
    TINTYPE_CHECK(extent.file_offset >= file_offset);
    plain_offset += extent.plain_bytes;
    file_offset = extent.file_offset + extent.encoded_bytes;
    TINTYPE_CHECK(index.extent_at(extent.plain_offset) == i);
    TINTYPE_CHECK(index.extent_at(plain_offset - 1) == i);
  }
  TINTYPE_CHECK(file_offset <= file.size_bytes());
  TINTYPE_CHECK(index.plain_bytes == plain_offset);
  TINTYPE_CHECK(index.extents.size() <= kLimits.frame_count);
  TINTYPE_CHECK(index.plain_bytes <= kLimits.image_free_bytes ||
                index.plain_bytes / kExpansionMax <= file.size_bytes());
}

void check_file(const ByteSource& file, FileForm form) {
  const auto index = read_frame_index(file, form, kLimits);
  if (!index.is_ok()) return check_refusal(index.status());
  check_index(*index, file);
  TINTYPE_CHECK(has_frame_index(file, form).value());
}

void check_seek_table(ByteView tail) {
  check_file(MemorySource(tail, "input"), FileForm::zstd);
  if (tail.size() < kFrameHeaderBytes + kSeekFooterBytes) return;
  const bool has_checksums = (tail[tail.size() - 5] & kSeekChecksumFlag) != std::byte{0};
  const uint64_t entry_bytes = kSeekEntryBytes - (has_checksums ? 0 : sizeof(uint32_t));
  uint64_t size_bytes = tail.size();
  const ByteView entries = tail.first(tail.size() - kSeekFooterBytes).subspan(kFrameHeaderBytes);
  for (size_t at = 0; at + entry_bytes <= entries.size(); at += entry_bytes) {
    size_bytes += load_little_endian<uint32_t>(entries, at);
  }
  check_file(HollowFile({}, size_bytes, tail), FileForm::zstd);
}

void check_planes_table(ByteView input) {
  check_file(MemorySource(input, "input"), FileForm::planes);
  if (input.size() < kPlanesFooterBytes) return;
  ByteVector tail = copy_of(input);
  const size_t footer = tail.size() - kPlanesFooterBytes;
  store_little_endian(tail, footer + 24, crc32(0, ByteView(tail).first(footer)));
  store_little_endian(tail, footer + 28, crc32(0, ByteView(tail).subspan(footer, 28)));
  const uint64_t table_offset = load_little_endian<uint64_t>(tail, footer + 16);
  if (table_offset < kPlanesHeadBytes || table_offset > kFileBytesMax) return;
  const ByteVector head = file_head(FileForm::planes);
  check_file(HollowFile(head, table_offset + tail.size(), tail), FileForm::planes);
}

}  // namespace
}  // namespace tintype::fuzzing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype::fuzzing;
  const tintype::ByteView input = input_of(data, size);
  if (tintype::as_text(input).ends_with(tintype::kPlanesEndMagic)) {
    check_planes_table(input);
  } else {
    check_seek_table(input);
  }
  return 0;
}
