// `.ttz` streams read front to back: what they begin with, and extents against the tables.
#include <string>

#include "engine/transcode/source_stream.h"
#include "engine/transcode/transcode.h"
#include "io/archive/compressed_form.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/crc32.h"
#include "tests/support/codec_data.h"
#include "tests/support/compressed_file.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::HasSubstr;

constexpr uint64_t kExtentBytes = 16 << 10;
constexpr size_t kVersionOffset = 8;
constexpr size_t kCrcOffset = 4092;

class NoOutput final : public OutputStream {
 public:
  Status write(ByteView /*data*/) override { return Status::ok(); }
};

class PlanesStreams : public testing::Test {
 protected:
  Status read_stream() const {
    const MemorySource source(file_);
    SourceStream stream(source);
    NoOutput nothing;
    StreamOutput output(nothing);
    return decompress(stream, "pipe", output, {}).status();
  }
  Status read_file() const {
    NoOutput nothing;
    StreamOutput output(nothing);
    return decompress(MemorySource(file_, "pipe"), output, {}).status();
  }
  void expect_both(StatusCode code, const char* text) const {
    EXPECT_THAT(read_stream(), IsStatus(code, HasSubstr(text)));
    EXPECT_EQ(read_stream().to_string(), read_file().to_string());
  }
  void correct_crc() {
    store_little_endian(MutableBytes(file_), kCrcOffset,
                        crc32(0, ByteView(file_).first(kCrcOffset)));
  }

  ByteVector file_ =
      compressed_file(FileForm::planes, content_bytes(Content::weights_fp32, 3 * kExtentBytes, 1),
                      {}, kExtentBytes);
};

TEST_F(PlanesStreams, a_newer_version_is_one_whose_checksum_is_right) {
  EXPECT_OK(read_stream());
  file_[kVersionOffset] ^= std::byte{2};
  expect_both(StatusCode::corruption, "damaged head: the CRC-32");
  correct_crc();
  expect_both(StatusCode::unsupported, "version 3");
}

TEST_F(PlanesStreams, padding_of_the_head_is_zeros) {
  file_[kCrcOffset - 1] = std::byte{1};
  expect_both(StatusCode::corruption, "damaged head: the CRC-32");
  correct_crc();
  expect_both(StatusCode::corruption, "padding");
}

TEST_F(PlanesStreams, extents_that_were_exchanged_or_left_out_are_damage) {
  const FrameIndex index = read_frame_index(MemorySource(file_), FileForm::planes).value();
  const auto second = file_.begin() + static_cast<ptrdiff_t>(index.extents[1].file_offset);
  file_.erase(second, second + index.extents[1].encoded_bytes);
  EXPECT_THAT(read_stream(), IsStatus(StatusCode::corruption, HasSubstr("tables")));
}

}  // namespace
}  // namespace tintype
