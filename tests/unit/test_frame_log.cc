// `.zst` files read front to back: each seek table is compared with the frames in front of it.
#include <zstd.h>

#include <algorithm>
#include <string>
#include <vector>

#include "engine/transcode/source_stream.h"
#include "engine/transcode/transcode.h"
#include "io/archive/compressed_form.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/zstd_stream.h"
#include "tests/support/codec_data.h"
#include "tests/support/compressed_file.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::HasSubstr;

constexpr uint64_t kExtentBytes = 16 << 10;
constexpr const char* kMisfit = "lists other frames than stand in front of it";

class BytesOutput final : public OutputStream {
 public:
  Status write(ByteView data) override {
    append_bytes(bytes, data);
    return Status::ok();
  }
  ByteVector bytes;
};

Result<ByteVector> from_file(const ByteVector& file) {
  BytesOutput bytes;
  StreamOutput output(bytes);
  TINTYPE_RETURN_IF_ERROR(decompress(MemorySource(file, "z"), output, {}).status());
  return std::move(bytes.bytes);
}

Result<ByteVector> from_stream(const ByteVector& file, const ReadLimits& limits = {}) {
  const MemorySource source(file);
  SourceStream stream(source);
  BytesOutput bytes;
  StreamOutput output(bytes);
  TINTYPE_RETURN_IF_ERROR(decompress(stream, "pipe", output, {.limits = limits}).status());
  return std::move(bytes.bytes);
}

ByteVector zstd_frame(ByteView plain, bool has_checksum = true) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, has_checksum ? 1 : 0);
  ByteVector frame(ZSTD_compressBound(plain.size()));
  frame.resize(ZSTD_compress2(context, frame.data(), frame.size(), plain.data(), plain.size()));
  ZSTD_freeCCtx(context);
  return frame;
}

// As zstd's own writer of the seekable format makes it, but without checksums, which it has as an
// option.
ByteVector foreign_file(const std::vector<ByteView>& pieces,
                        const std::vector<ByteView>& listed_pieces) {
  ByteVector file;
  for (const ByteView piece : pieces) append_bytes(file, zstd_frame(piece, false));
  const uint32_t count = static_cast<uint32_t>(listed_pieces.size());
  append_little_endian(file, kSeekTableMagic);
  append_little_endian(file, static_cast<uint32_t>(8 * count + kSeekFooterBytes));
  for (const ByteView piece : listed_pieces) {
    append_little_endian(file, static_cast<uint32_t>(zstd_frame(piece, false).size()));
    append_little_endian(file, static_cast<uint32_t>(piece.size()));
  }
  append_little_endian(file, count);
  file.push_back(std::byte{0});
  append_little_endian(file, kSeekFooterMagic);
  return file;
}

ByteVector skippable_frame(uint32_t magic, ByteView content) {
  ByteVector frame;
  append_little_endian(frame, magic);
  append_little_endian(frame, static_cast<uint32_t>(content.size()));
  append_bytes(frame, content);
  return frame;
}

// As pzstd makes it: a skippable frame in front tells the size.
ByteVector pzstd_frame(ByteView plain) {
  const ByteVector frame = zstd_frame(plain);
  ByteVector size;
  append_little_endian(size, static_cast<uint32_t>(frame.size()));
  ByteVector both = skippable_frame(kSkippableMagic, size);
  append_bytes(both, frame);
  return both;
}

// Noise whose frame has that size.
ByteVector content_of_frame(size_t frame_bytes) {
  ByteVector plain = content_bytes(Content::random, frame_bytes, 1);
  while (!plain.empty() && zstd_frame(plain).size() != frame_bytes) plain.pop_back();
  return plain;
}

// A file of Tintype's with four extents, and its parts.
class FrameLogs : public testing::Test {
 protected:
  FrameLogs()
      : plain_(content_bytes(Content::weights_fp32, 3 * kExtentBytes + 777, 1)),
        file_(compressed_file(FileForm::zstd, plain_, {}, kExtentBytes)),
        index_(read_frame_index(MemorySource(file_), FileForm::zstd).value()) {}

  ByteView extent(size_t i) const {
    return ByteView(file_).subspan(index_.extents[i].file_offset, index_.extents[i].encoded_bytes);
  }
  ByteView table() const {
    const IndexedExtent& last = index_.extents.back();
    return ByteView(file_).subspan(last.file_offset + last.encoded_bytes);
  }
  ByteVector of_extents(const std::vector<size_t>& numbers) const {
    ByteVector file;
    for (const size_t number : numbers) append_bytes(file, extent(number));
    return file;
  }

  ByteVector plain_;
  ByteVector file_;
  FrameIndex index_;
};

ByteVector joined(ByteView first, ByteView second) {
  ByteVector file(first.begin(), first.end());
  append_bytes(file, second);
  return file;
}

void expect_damaged(const ByteVector& file, const char* text) {
  EXPECT_THAT(from_stream(file), IsStatus(StatusCode::corruption, HasSubstr(text)));
  EXPECT_THAT(from_file(file), IsStatus(StatusCode::corruption, HasSubstr("'z'")));
}

TEST_F(FrameLogs, extents_that_are_missing_doubled_or_exchanged_are_damage) {
  ASSERT_EQ(index_.extents.size(), 4u);
  EXPECT_EQ(from_stream(joined(of_extents({0, 1, 2, 3}), table())).value(), plain_);
  for (const std::vector<size_t>& extents : std::vector<std::vector<size_t>>{{},
                                                                             {1, 2, 3},
                                                                             {0, 2, 3},
                                                                             {0, 1, 2},
                                                                             {0, 0, 1, 2, 3},
                                                                             {0, 1, 1, 2, 3},
                                                                             {0, 1, 2, 3, 3},
                                                                             {0, 2, 1, 3},
                                                                             {1, 0, 2, 3}}) {
    expect_damaged(joined(of_extents(extents), table()), kMisfit);
  }
}

TEST_F(FrameLogs, the_same_holds_of_the_second_file_behind_another) {
  const ByteVector foreign = zstd_frame(as_bytes("made by zstd"));
  for (const ByteVector& first : {file_, foreign, joined(foreign, foreign)}) {
    const ByteVector whole = joined(first, file_);
    EXPECT_EQ(from_file(whole).value(), from_stream(whole).value());
    EXPECT_TRUE(std::ranges::equal(ByteView(from_file(whole).value()).last(plain_.size()), plain_));
    for (const std::vector<size_t>& extents :
         std::vector<std::vector<size_t>>{{1, 2, 3}, {0, 0, 1, 2, 3}, {0, 1, 1, 2, 3}}) {
      expect_damaged(joined(first, joined(of_extents(extents), table())), kMisfit);
    }
  }
}

// Of what is no checkpoint nobody knows whether it was longer.
TEST_F(FrameLogs, a_file_of_ours_without_its_table_is_cut_off) {
  expect_damaged(of_extents({0, 1, 2, 3}), "its seek table is missing");
  expect_damaged(of_extents({0, 1, 2}), "its seek table is missing");
  expect_damaged(joined(file_, of_extents({0, 1})), "seek table is missing");
  expect_damaged(joined(of_extents({0, 1, 2, 3}), file_), kMisfit);
}

TEST(FrameLogCheckpoints, one_whose_table_alone_is_cut_off_is_whole) {
  ByteVector plain;
  append_text(plain, "PK\x03\x04");
  append_bytes(plain, content_bytes(Content::weights_fp32, 3 * kExtentBytes, 1));
  append_text(plain, "PK\x05\x06 and the rest");
  ByteVector file = compressed_file(FileForm::zstd, plain, {}, kExtentBytes);
  file.resize(file.size() / 4096 * 4096);  // less than a page is the table
  EXPECT_EQ(from_stream(file).value(), plain);
  EXPECT_EQ(from_file(file).value(), plain);
}

TEST(FrameLogForeign, tables_without_checksums_are_compared_by_their_sizes) {
  const ByteVector plain = content_bytes(Content::random, 10'000, 1);
  const std::vector<ByteView> pieces = {ByteView(plain).first(3000),
                                        ByteView(plain).subspan(3000, 5000),
                                        ByteView(plain).subspan(8000)};
  const ByteVector whole = foreign_file(pieces, pieces);
  const ByteVector twice = joined(whole, whole);
  const ByteVector behind = joined(zstd_frame(as_bytes("in front")), whole);
  EXPECT_EQ(from_file(whole).value(), plain);
  EXPECT_EQ(from_stream(whole).value(), plain);
  EXPECT_EQ(from_stream(twice).value(), joined(plain, plain));
  EXPECT_EQ(from_file(twice).value(), joined(plain, plain));
  EXPECT_EQ(from_stream(behind).value(), joined(as_bytes("in front"), plain));
  for (const std::vector<ByteView>& passed : {std::vector<ByteView>{},
                                              {pieces[0], pieces[1]},
                                              {pieces[0], pieces[2], pieces[1]},
                                              {pieces[0], pieces[1], pieces[1], pieces[2]}}) {
    expect_damaged(foreign_file(passed, pieces), kMisfit);
  }
}

// The content of a frame without a checksum of its own is compared with the table's.
TEST(FrameLogForeign, checksums_that_the_table_alone_has_are_compared) {
  const ByteVector plain = content_bytes(Content::random, 10'000, 1);
  ByteVector file = compressed_file(FileForm::zstd, plain, {}, kExtentBytes);
  const IndexedExtent listed = read_frame_index(MemorySource(file), FileForm::zstd)->extents[0];
  ByteVector unchecked = zstd_frame(plain, false);
  const auto with_checksum = [&](uint32_t checksum) {
    ByteVector made = unchecked;
    append_little_endian(made, kSeekTableMagic);
    append_little_endian(made, static_cast<uint32_t>(kSeekEntryBytes + kSeekFooterBytes));
    append_little_endian(made, static_cast<uint32_t>(unchecked.size()));
    append_little_endian(made, static_cast<uint32_t>(plain.size()));
    append_little_endian(made, checksum);
    append_little_endian(made, uint32_t{1});
    made.push_back(kSeekChecksumFlag);
    append_little_endian(made, kSeekFooterMagic);
    return made;
  };
  EXPECT_EQ(from_stream(with_checksum(listed.checksum)).value(), plain);
  expect_damaged(with_checksum(listed.checksum ^ 1), kMisfit);
}

TEST_F(FrameLogs, of_more_frames_than_the_limit_the_last_are_compared) {
  const uint64_t frames = 2 * index_.extents.size();  // padding counts
  const ByteVector foreign = zstd_frame(as_bytes("x"));
  const ByteVector longer = joined(joined(foreign, foreign), file_);
  EXPECT_OK(from_stream(longer, {.streamed_frame_count = frames}));
  EXPECT_THAT(from_stream(longer, {.streamed_frame_count = frames - 1}),
              IsStatus(StatusCode::unsupported, HasSubstr("more than 7 frames")));
  EXPECT_THAT(
      from_stream(joined(joined(foreign, foreign), joined(of_extents({0, 1, 3, 2}), table())),
                  {.streamed_frame_count = frames}),
      IsStatus(StatusCode::corruption, HasSubstr(kMisfit)));
  EXPECT_OK(from_stream(joined(foreign, joined(foreign, foreign)), {.streamed_frame_count = 1}));
}

// What a table's number marks need not be one: zstd skips it.
TEST_F(FrameLogs, a_skippable_frame_of_the_same_number_is_no_table) {
  ByteVector other;
  append_little_endian(other, kSeekTableMagic);
  append_little_endian(other, uint32_t{20});
  other.resize(28);
  const ByteVector frame = zstd_frame(as_bytes("content"));
  EXPECT_EQ(as_text(from_stream(joined(frame, other)).value()), "content");
  EXPECT_EQ(as_text(from_stream(joined(other, frame)).value()), "content");
}

Status read_in_pieces(const ByteVector& file, size_t piece) {
  ZstdStream stream("z");
  ByteVector target(5000);
  for (size_t at = 0; at < file.size(); at += piece) {
    ByteView input = ByteView(file).subspan(at, std::min(piece, file.size() - at));
    for (size_t count = 1; count != 0 || !input.empty();) {
      TINTYPE_ASSIGN_OR_RETURN(count, stream.decode(input, target));
    }
  }
  return stream.finish();
}

TEST_F(FrameLogs, a_table_is_compared_whatever_the_pieces) {
  const ByteVector pzstd = joined(pzstd_frame(content_of_frame(4084)), pzstd_frame(plain_));
  for (const size_t piece : {1ul, 7ul, 4096ul, file_.size()}) {
    EXPECT_OK(read_in_pieces(file_, piece));
    EXPECT_OK(read_in_pieces(joined(pzstd, file_), piece));
    for (const std::vector<size_t>& extents :
         std::vector<std::vector<size_t>>{{0, 1, 1, 2, 3}, {0, 0, 1, 2, 3}}) {
      EXPECT_THAT(read_in_pieces(joined(of_extents(extents), table()), piece),
                  IsStatus(StatusCode::corruption, HasSubstr(kMisfit)));
    }
  }
}

// Padding of ours is zeros, of one number, and up to a multiple.
TEST_F(FrameLogs, skippable_frames_of_other_programs_are_no_padding) {
  const ByteVector plain = content_of_frame(4084);
  ASSERT_EQ(zstd_frame(plain).size(), 4084u);
  const ByteVector frame = zstd_frame(plain);
  const ByteVector zeros(5);
  const ByteVector pzstd = joined(pzstd_frame(plain), pzstd_frame(as_bytes("tail")));
  EXPECT_EQ(from_file(pzstd).value(), joined(plain, as_bytes("tail")));
  for (const ByteVector& foreign :
       {pzstd, joined(frame, skippable_frame(kSkippableMagic + 1, ByteView(zeros).first(4))),
        joined(frame, skippable_frame(kSkippableMagic, zeros))}) {
    const ByteVector whole = joined(foreign, file_);
    EXPECT_OK(from_stream(whole));
    EXPECT_EQ(from_file(whole).value(), joined(from_file(foreign).value(), plain_));
    EXPECT_EQ(from_stream(joined(file_, foreign)).value(),
              joined(plain_, from_file(foreign).value()));
  }
  expect_damaged(
      joined(joined(frame, skippable_frame(kSkippableMagic, ByteView(zeros).first(4))), file_),
      kMisfit);
}

TEST_F(FrameLogs, padding_is_remembered_over_the_limit) {
  const ByteVector file = joined(of_extents({0, 1, 2, 3}), file_);
  EXPECT_THAT(from_stream(file, {.streamed_frame_count = 2 * index_.extents.size()}),
              IsStatus(StatusCode::corruption, HasSubstr(kMisfit)));
}

}  // namespace
}  // namespace tintype
