// `.zst` files with a seek table, as other programs write them.
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/restore/archive.h"
#include "engine/restore/image.h"
#include "engine/transcode/transcode.h"
#include "io/archive/compressed_form.h"
#include "io/archive/xxh64.h"
#include "tests/support/codec_data.h"
#include "tests/support/compressed_file.h"
#include "tests/support/small_archive.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::HasSubstr;
using namespace testing_support;

ByteVector zstd_frame(ByteView plain, bool has_checksum = true) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                     &ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_checksumFlag, has_checksum ? 1 : 0);
  ZSTD_CCtx_setParameter(context.get(), ZSTD_c_contentSizeFlag, has_checksum ? 1 : 0);
  ByteVector frame(ZSTD_compressBound(plain.size()));
  frame.resize(
      ZSTD_compress2(context.get(), frame.data(), frame.size(), plain.data(), plain.size()));
  return frame;
}

// Frames, and what a table says of each.
class SeekableFile {
 public:
  void add(const ByteVector& frame, size_t plain_bytes, uint32_t checksum) {
    append_bytes(frames_, frame);
    append_little_endian(entries_, static_cast<uint32_t>(frame.size()));
    append_little_endian(entries_, static_cast<uint32_t>(plain_bytes));
    append_little_endian(entries_, checksum);
    ++count_;
  }
  // With `has_checksums` false as zstd's own writer of the seekable format does: frames without
  // size and checksum, which the table alone has.
  void add_pieces_of(ByteView plain, size_t piece_bytes, bool has_checksums) {
    for (; !plain.empty(); plain = plain.subspan(std::min(piece_bytes, plain.size()))) {
      const ByteView piece = plain.first(std::min(piece_bytes, plain.size()));
      const ByteVector checked = zstd_frame(piece);
      add(has_checksums ? checked : zstd_frame(piece, false), piece.size(),
          load_little_endian<uint32_t>(checked, checked.size() - sizeof(uint32_t)));
    }
  }
  ByteVector bytes() const {
    ByteVector file = frames_;
    append_little_endian(file, kSeekTableMagic);
    append_little_endian(file, static_cast<uint32_t>(entries_.size() + kSeekFooterBytes));
    append_bytes(file, entries_);
    append_little_endian(file, count_);
    file.push_back(kSeekChecksumFlag);
    append_little_endian(file, kSeekFooterMagic);
    return file;
  }

 private:
  ByteVector frames_;
  ByteVector entries_;
  uint32_t count_ = 0;
};

class TextOutput final : public OutputStream {
 public:
  Status write(ByteView data) override {
    append_bytes(bytes, data);
    return Status::ok();
  }
  ByteVector bytes;
};

Result<ByteVector> decompressed(ByteView file) {
  TextOutput text;
  StreamOutput output(text);
  TINTYPE_RETURN_IF_ERROR(decompress(MemorySource(file, "z"), output, {}).status());
  return std::move(text.bytes);
}

class SeekableFiles : public testing::Test {
 protected:
  SeekableFiles()
      : plain_(archive_of({{"data.pkl", pickle_of({{"a", "0", 300'000, 0, {300'000}, {1}}})},
                           {"byteorder", "little"},
                           {"data/0", counting_floats(300'000)},
                           {"version", "3\n"}})) {}

  Result<Image> open(ByteView file) {
    return image_of(std::make_unique<MemorySource>(file, "y.pth.zst"));
  }

  ByteVector plain_;
};

TEST_F(SeekableFiles, frames_of_any_size_are_read_at_any_place) {
  SeekableFile file;
  file.add_pieces_of(plain_, 100'001, true);
  const ByteVector bytes = file.bytes();
  Image image = open(bytes).value();
  EXPECT_NE(image.compressed, nullptr);
  const auto archive = Archive::open(std::move(image));
  ASSERT_OK(archive);
  EXPECT_OK((*archive)->read_tensor(*(*archive)->find_tensor("model/a")));
  EXPECT_EQ(decompressed(bytes).value(), plain_);
}

TEST(Xxh64, is_what_zstd_puts_behind_its_frames) {
  EXPECT_EQ(xxh64({}), 0xEF46DB3751D8E999u);
  EXPECT_EQ(xxh64(as_bytes("a")), 0xD24EC4F1A98C6E5Bu);
  EXPECT_EQ(xxh64(as_bytes("abc")), 0x44BC2CF5AD770999u);
  const ByteVector bytes = content_bytes(Content::random, 100'000, 1);
  for (size_t size = 0; size <= bytes.size(); size += size < 100 ? 1 : 997) {
    const ByteView part = ByteView(bytes).first(size);
    const ByteVector frame = zstd_frame(part);
    EXPECT_EQ(static_cast<uint32_t>(xxh64(part)),
              load_little_endian<uint32_t>(frame, frame.size() - sizeof(uint32_t)));
  }
}

// The layout of contrib/seekable_format.
TEST_F(SeekableFiles, frames_whose_checksum_stands_in_the_table_alone_are_compared_with_it) {
  SeekableFile file;
  file.add_pieces_of(plain_, 500'000, false);
  const ByteVector bytes = file.bytes();
  Image image = open(bytes).value();
  const auto undamaged = image.compressed->find_damaged_extents({});
  ASSERT_OK(undamaged);
  EXPECT_TRUE(undamaged->empty());
  EXPECT_EQ(decompressed(bytes).value(), plain_);

  const ByteVector other = content_bytes(Content::random, 1000, 2);
  file.add(zstd_frame(other, false), other.size(), 0x12345678);
  EXPECT_THAT(decompressed(file.bytes()),
              IsStatus(StatusCode::corruption, HasSubstr("instead of 12345678 in the seek table")));
}

// zstd prints it: a reader who skipped it would read another file, and one who printed it would
// believe a table that is wrong.
TEST_F(SeekableFiles, a_frame_in_front_that_the_table_calls_empty_is_not_skipped) {
  const ByteVector hidden(5000, std::byte{'h'});
  SeekableFile file;
  file.add(zstd_frame(hidden), 0, kChecksumOfNothing);
  file.add_pieces_of(plain_, 500'000, true);
  EXPECT_THAT(open(file.bytes()), IsStatus(StatusCode::unsupported, HasSubstr("zstd -d")));
  EXPECT_THAT(decompressed(file.bytes()),
              IsStatus(StatusCode::corruption, HasSubstr("lists other frames")));
}

TEST_F(SeekableFiles, one_behind_the_other_they_are_decompressed_like_frames) {
  SeekableFile file;
  file.add_pieces_of(plain_, 500'000, true);
  ByteVector frame = zstd_frame(plain_);  // without a table
  append_bytes(frame, file.bytes());
  ByteVector twice = file.bytes();
  append_bytes(twice, file.bytes());
  ByteVector before_an_empty_one = frame;
  append_bytes(before_an_empty_one, SeekableFile().bytes());
  ByteVector expected = plain_;
  append_bytes(expected, plain_);
  for (const ByteVector& bytes : {frame, twice, before_an_empty_one}) {
    EXPECT_THAT(open(bytes), IsStatus(StatusCode::unsupported, HasSubstr("several files of zstd")));
    EXPECT_EQ(decompressed(bytes).value(), expected);
  }
}

TEST_F(SeekableFiles, one_before_a_frame_without_a_table_is_read_as_bytes_before_its_checkpoint) {
  SeekableFile file;
  file.add_pieces_of(plain_, 500'000, true);
  ByteVector bytes = file.bytes();
  append_bytes(bytes, zstd_frame(plain_));
  Image image = open(bytes).value();
  EXPECT_EQ(image.source->size_bytes(), 2 * plain_.size());
  const auto archive = Archive::open(std::move(image));
  ASSERT_OK(archive);
  EXPECT_EQ((*archive)->index().start_offset, plain_.size());
  EXPECT_OK((*archive)->read_tensor(*(*archive)->find_tensor("model/a")));
}

TEST_F(SeekableFiles, one_whose_table_alone_is_cut_off_is_sound) {
  const ByteVector file = compressed_file(FileForm::zstd, plain_, {}, 256 << 10);
  const FrameIndex index = read_frame_index(MemorySource(file), FileForm::zstd).value();
  const IndexedExtent& last = index.extents.back();
  const ByteView cut = ByteView(file).first(last.file_offset + last.encoded_bytes);
  Image image = open(cut).value();
  EXPECT_EQ(read_range(*image.source, 0, image.source->size_bytes()).value(), plain_);
  EXPECT_OK(Archive::open(std::move(image)));
  EXPECT_EQ(decompressed(cut).value(), plain_);
}

TEST_F(SeekableFiles, a_table_that_begins_between_frames_is_damage) {
  SeekableFile file;
  file.add_pieces_of(plain_, 500'000, true);
  ByteVector longer = file.bytes();
  longer.insert(longer.begin() + 500, std::byte{0});
  for (const auto& status : {open(longer).status(), decompressed(longer).status()}) {
    EXPECT_EQ(status.code(), StatusCode::corruption) << status.to_string();
  }
}

}  // namespace
}  // namespace tintype
