// Whole files of the compressed forms: their tables, and what becomes of damaged and hostile ones.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "io/archive/compressed_form.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/crc32.h"
#include "io/archive/file_form.h"
#include "tests/support/codec_data.h"
#include "tests/support/compressed_file.h"

namespace tintype {
namespace {

using testing::HasSubstr;
constexpr size_t kKiB = 1024;

// Three kinds of content in extents of 64 KiB, the last one short.
struct Sample {
  Sample() {
    append_bytes(plain, content_bytes(Content::text, 5000, 1));
    plain.resize(8192);
    elements.add(8192, 160 * kKiB, 4, true);
    append_bytes(plain, content_bytes(Content::weights_fp32, 160 * kKiB, 2));
    elements.add(plain.size(), 100 * kKiB, 2, true);
    append_bytes(plain, content_bytes(Content::weights_bf16, 100 * kKiB, 3));
    append_bytes(plain, content_bytes(Content::random, 70 * kKiB, 4));
    append_bytes(plain, content_bytes(Content::zeros, 70'001, 5));
  }
  ByteVector file(FileForm form) const { return compressed_file(form, plain, elements, 64 * kKiB); }

  ByteVector plain;
  ElementMap elements;
};

Result<FrameIndex> index_of(FileForm form, ByteView file) {
  const MemorySource source(file, "x");
  return read_frame_index(source, form);
}

std::string text_of(const Status& status) { return status.to_string(); }

class CompressedLayout : public testing::TestWithParam<FileForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, CompressedLayout, testing::Values(FileForm::zstd, FileForm::planes),
                         [](const auto& form) { return std::string(to_string(form.param)); });

TEST_P(CompressedLayout, a_file_comes_back) {
  const Sample sample;
  const ByteVector file = sample.file(GetParam());
  EXPECT_LT(file.size(), sample.plain.size());
  EXPECT_EQ(detect_form(MemorySource(file)).value(), GetParam());
  EXPECT_TRUE(has_frame_index(MemorySource(file), GetParam()).value());
  const auto back = decompressed_file(GetParam(), file);
  ASSERT_TRUE(back.is_ok()) << text_of(back.status());
  EXPECT_EQ(*back, sample.plain);
}

TEST_P(CompressedLayout, the_index_covers_image_and_file_without_gaps) {
  const Sample sample;
  const ByteVector file = sample.file(GetParam());
  const FrameIndex index = index_of(GetParam(), file).value();
  EXPECT_EQ(index.plain_bytes, sample.plain.size());
  EXPECT_EQ(index.extents.size(), divide_up(sample.plain.size(), 64 * kKiB));
  uint64_t plain_offset = 0;
  uint64_t file_offset = file_head(GetParam()).size();
  for (size_t i = 0; i < index.extents.size(); ++i) {
    const IndexedExtent& extent = index.extents[i];
    EXPECT_EQ(extent.plain_offset, plain_offset);
    EXPECT_EQ(extent.file_offset, file_offset);
    EXPECT_EQ(extent.file_offset % kEncodedAlignmentBytes, 0u);
    EXPECT_EQ(index.extent_at(plain_offset), i);
    EXPECT_EQ(index.extent_at(plain_offset + extent.plain_bytes - 1), i);
    plain_offset += extent.plain_bytes;
    file_offset += extent.encoded_bytes;
  }
  EXPECT_EQ(plain_offset, index.plain_bytes);
  EXPECT_EQ(index.largest_plain_bytes(), 64 * kKiB);
}

TEST_P(CompressedLayout, an_empty_image_has_tables_only) {
  const ByteVector file = compressed_file(GetParam(), {}, {}, 4096);
  EXPECT_EQ(decompressed_file(GetParam(), file).value(), ByteVector());
}

TEST_P(CompressedLayout, every_truncation_is_corruption) {
  const ByteVector file =
      compressed_file(GetParam(), content_bytes(Content::text, 9000, 1), {}, 4096);
  for (size_t size = 0; size < file.size(); ++size) {
    const auto index = index_of(GetParam(), ByteView(file).first(size));
    ASSERT_FALSE(index.is_ok()) << size;
    EXPECT_EQ(index.status().code(), StatusCode::corruption) << size;
  }
  ByteVector longer = file;
  longer.push_back(std::byte{0});
  const auto index = index_of(GetParam(), longer);
  EXPECT_EQ(index.status().code(), StatusCode::corruption);
  if (GetParam() == FileForm::planes) {
    EXPECT_THAT(text_of(index.status()), HasSubstr("goes on behind its end, which is at byte " +
                                                   std::to_string(file.size())));
  }
}

// Flips in the planes form are all noticed. In the zstd form those of the padding's content, of two
// unused bits of the seek table, and of its frame's own number change nothing that anyone reads.
TEST_P(CompressedLayout, every_bit_flip_is_detected_or_harmless) {
  const Sample sample;
  const ByteVector file = sample.file(GetParam());
  const bool is_full = std::getenv("TINTYPE_FULL") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  const size_t flip_count = is_full ? 10'000 : 1'000;
  size_t harmless_count = 0;
  std::mt19937_64 random(20'000);
  ByteVector damaged = file;
  for (size_t i = 0; i < flip_count; ++i) {
    const uint64_t bit = random() % (file.size() * 8);
    const auto mask = static_cast<std::byte>(1u << (bit % 8));
    damaged[bit / 8] ^= mask;
    const auto back = decompressed_file(GetParam(), damaged);
    if (back.is_ok()) {
      ++harmless_count;
      ASSERT_EQ(*back, sample.plain) << "bit " << bit;
    } else {
      EXPECT_NE(back.status().code(), StatusCode::internal) << text_of(back.status());
    }
    damaged[bit / 8] ^= mask;
  }
  RecordProperty("harmless_flips", static_cast<int>(harmless_count));
  EXPECT_LE(harmless_count, GetParam() == FileForm::planes ? 0 : flip_count / 8);
}

TEST_P(CompressedLayout, damage_names_the_extent_by_its_place) {
  const Sample sample;
  ByteVector file = sample.file(GetParam());
  const IndexedExtent extent = index_of(GetParam(), file).value().extents[2];
  file[extent.file_offset + 100] ^= std::byte{1};
  const auto back = decompressed_file(GetParam(), file);
  EXPECT_EQ(back.status().code(), StatusCode::corruption);
  EXPECT_THAT(text_of(back.status()),
              HasSubstr("at byte " + std::to_string(extent.file_offset) + " of the file"));
}

// --- hostile tables, made sound by recomputed checksums ---

using Clock = std::chrono::steady_clock;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr auto kRefusalTime = std::chrono::milliseconds(2000);
#else
constexpr auto kRefusalTime = std::chrono::milliseconds(100);
#endif

void expect_quick_refusal(FileForm form, ByteView file, StatusCode code, std::string_view text) {
  const auto start = Clock::now();
  const auto index = index_of(form, file);
  EXPECT_LT(Clock::now() - start, kRefusalTime);
  ASSERT_FALSE(index.is_ok());
  EXPECT_EQ(index.status().code(), code) << text_of(index.status());
  EXPECT_THAT(text_of(index.status()), HasSubstr(std::string(text)));
}

void fix_footer(ByteVector& file) {
  const size_t footer = file.size() - kPlanesFooterBytes;
  const auto count = load_little_endian<uint64_t>(file, footer + 8);
  const size_t table_bytes = count * kPlanesEntryBytes;
  if (table_bytes <= footer) {
    const ByteView table = ByteView(file).subspan(footer - table_bytes, table_bytes);
    store_little_endian(MutableBytes(file), footer + 24, crc32(0, table));
  }
  store_little_endian(MutableBytes(file), footer + 28,
                      crc32(0, ByteView(file).subspan(footer, 28)));
}

TEST(PlanesTables, hostile_numbers_are_refused_at_once) {
  const Sample sample;
  const ByteVector file = sample.file(FileForm::planes);
  const size_t footer = file.size() - kPlanesFooterBytes;
  const auto with = [&](size_t offset, auto value) {
    ByteVector changed = file;
    store_little_endian(MutableBytes(changed), offset, value);
    fix_footer(changed);
    return changed;
  };
  const size_t entry = footer - 7 * kPlanesEntryBytes;
  expect_quick_refusal(FileForm::planes, with(footer + 8, uint64_t{1} << 60),
                       StatusCode::unsupported, "read it front to back");
  expect_quick_refusal(FileForm::planes, with(footer + 8, uint64_t{1'000'000}),
                       StatusCode::corruption, "cut off");
  expect_quick_refusal(FileForm::planes, with(footer, ~uint64_t{0}), StatusCode::corruption,
                       "does not fit");
  expect_quick_refusal(FileForm::planes, with(footer + 16, uint64_t{0}), StatusCode::corruption,
                       "elsewhere");
  for (const uint32_t plain_bytes : {0u, (64u << 20) + 1, ~0u}) {
    expect_quick_refusal(FileForm::planes, with(entry, plain_bytes), StatusCode::corruption,
                         "impossible size");
  }
  for (const uint32_t encoded_bytes : {0u, 1u << 30, ~0u}) {
    expect_quick_refusal(FileForm::planes, with(entry + 4, encoded_bytes), StatusCode::corruption,
                         "impossible size");
  }
}

TEST(PlanesTables, padding_of_the_head_is_zeros) {
  ByteVector file = Sample().file(FileForm::planes);
  const size_t crc_offset = kPlanesHeadBytes - sizeof(uint32_t);
  for (const size_t offset : {size_t{12}, size_t{100}, crc_offset - 1}) {
    file[offset] = std::byte{1};
    store_little_endian(MutableBytes(file), crc_offset, crc32(0, ByteView(file).first(crc_offset)));
    expect_quick_refusal(FileForm::planes, file, StatusCode::corruption, "padding");
    file[offset] = std::byte{0};
  }
  store_little_endian(MutableBytes(file), crc_offset, crc32(0, ByteView(file).first(crc_offset)));
  EXPECT_TRUE(index_of(FileForm::planes, file).is_ok());
}

TEST(PlanesTables, a_newer_version_is_unsupported) {
  ByteVector file = Sample().file(FileForm::planes);
  store_little_endian(MutableBytes(file), 8, uint32_t{2});
  expect_quick_refusal(FileForm::planes, file, StatusCode::corruption, "damaged head");
  store_little_endian(MutableBytes(file), 4092, crc32(0, ByteView(file).first(4092)));
  expect_quick_refusal(FileForm::planes, file, StatusCode::unsupported, "version 2");
}

// The run table of an extent that says other things than its planes are.
TEST(PlanesTables, hostile_run_tables_are_refused) {
  const ByteVector plain = content_bytes(Content::weights_bf16, 200 * kKiB, 1);
  const ElementRun run{0, plain.size(), 2, true};
  ByteVector sound(encoded_bound_bytes(plain.size()));
  const EncodedExtent extent = ExtentEncoder::create({.form = FileForm::planes})
                                   .value()
                                   ->encode(plain, {&run, 1}, sound)
                                   .value();
  sound.resize(extent.encoded_bytes);
  const IndexedExtent indexed{.plain_bytes = static_cast<uint32_t>(plain.size()),
                              .encoded_bytes = static_cast<uint32_t>(extent.encoded_bytes),
                              .payload_bytes = static_cast<uint32_t>(extent.encoded_bytes),
                              .checksum = extent.checksum};
  const auto decoder = ExtentDecoder::create(FileForm::planes, true);
  std::mt19937 random(9);
  size_t refused_count = 0;
  for (int i = 0; i < 3000; ++i) {
    ByteVector changed = sound;
    const auto payload = load_little_endian<uint32_t>(changed, 20);
    const std::array<uint32_t, 5> values = {0, 1, ~0u, static_cast<uint32_t>(random()), 200 * kKiB};
    store_little_endian(MutableBytes(changed), 12 + random() % (payload - 15),
                        values[random() % values.size()]);
    const auto end = load_little_endian<uint32_t>(changed, 20);
    if (end >= kExtentHeaderBytes && end <= changed.size()) {
      store_little_endian(MutableBytes(changed), 4,
                          crc32(0, ByteView(changed).subspan(8, end - 8)));
    }
    ByteVector back(plain.size());
    const Status status = decoder->decode(indexed, changed, back);
    if (status.is_ok()) {
      EXPECT_EQ(back, plain);
    } else {
      ++refused_count;
      EXPECT_EQ(status.code(), StatusCode::corruption);
    }
  }
  EXPECT_GT(refused_count, 2000u);
}

struct SeekTable {
  ByteVector file;

  void add(uint32_t frame_bytes, uint32_t plain_bytes) {
    for (const uint32_t word : {frame_bytes, plain_bytes, 0u}) append_little_endian(file, word);
    ++count;
  }
  ByteVector finish(uint32_t said_count) {
    ByteVector all(payload_bytes, std::byte{0});
    append_little_endian(all, kSeekTableMagic);
    append_little_endian(all, static_cast<uint32_t>(file.size() + kSeekFooterBytes));
    append_bytes(all, file);
    append_little_endian(all, said_count);
    all.push_back(kSeekChecksumFlag);
    append_little_endian(all, kSeekFooterMagic);
    return all;
  }
  uint32_t count = 0;
  size_t payload_bytes = 0;
};

TEST(SeekTables, hostile_numbers_are_refused_at_once) {
  SeekTable one;
  one.payload_bytes = 100;
  one.add(100, 1000);
  EXPECT_TRUE(index_of(FileForm::zstd, one.finish(1)).is_ok());
  expect_quick_refusal(FileForm::zstd, one.finish(2), StatusCode::corruption, "damaged seek table");
  expect_quick_refusal(FileForm::zstd, one.finish(1'000'000), StatusCode::corruption, "longer");
  expect_quick_refusal(FileForm::zstd, one.finish(~0u), StatusCode::unsupported, "over the limit");

  SeekTable large;
  large.payload_bytes = 100;
  large.add(100, (64u << 20) + 1);
  expect_quick_refusal(FileForm::zstd, large.finish(1), StatusCode::unsupported, "zstd -d");

  SeekTable wrong_sum;
  wrong_sum.payload_bytes = 100;
  wrong_sum.add(99, 1000);
  expect_quick_refusal(FileForm::zstd, wrong_sum.finish(1), StatusCode::corruption,
                       "99 bytes in front");

  SeekTable empty;
  empty.add(0, 1000);
  expect_quick_refusal(FileForm::zstd, empty.finish(1), StatusCode::corruption, "impossible size");
}

// A decoder reads an extent with its padding at once.
TEST(SeekTables, padding_of_more_than_a_frame_may_have_is_refused) {
  SeekTable padded;
  padded.payload_bytes = 8000;
  padded.add(100, 1000);
  padded.add(7900, 0);
  EXPECT_TRUE(index_of(FileForm::zstd, padded.finish(2)).is_ok());
  padded.payload_bytes = size_t{3} << 20;
  padded.add((3u << 20) - 8000, 0);
  expect_quick_refusal(FileForm::zstd, padded.finish(3), StatusCode::unsupported,
                       "takes 3145728 bytes with its padding for 1000 bytes, over the limit");
}

// Sparse, it takes no place on the disk.
class ZerosBefore final : public ByteSource {
 public:
  ZerosBefore(uint64_t zero_bytes, ByteView end) : zero_bytes_(zero_bytes), end_(end, "x") {}

  uint64_t size_bytes() const override { return zero_bytes_ + end_.size_bytes(); }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    if (offset >= zero_bytes_) return end_.read_at(target, offset - zero_bytes_);
    std::fill(target.begin(), target.end(), std::byte{0});
    return Status::ok();
  }
  const std::string& name() const override { return end_.name(); }

 private:
  uint64_t zero_bytes_;
  MemorySource end_;
};

TEST(SeekTables, padding_of_more_than_32_bits_is_refused) {
  SeekTable overflowing;
  overflowing.add(100, 1000);
  for (int i = 0; i < 3; ++i) overflowing.add(~0u, 0);
  const ByteVector table = overflowing.finish(4);
  const auto index = read_frame_index(ZerosBefore(3 * uint64_t{~0u} + 100, table), FileForm::zstd);
  ASSERT_FALSE(index.is_ok());
  EXPECT_EQ(index.status().code(), StatusCode::unsupported);
  EXPECT_THAT(text_of(index.status()), HasSubstr("over the limit"));
}

TEST(SeekTables, what_stands_in_front_of_the_first_frame_is_not_taken_for_empty) {
  SeekTable hiding;
  hiding.payload_bytes = 300;
  hiding.add(200, 0);
  hiding.add(100, 1000);
  expect_quick_refusal(FileForm::zstd, hiding.finish(2), StatusCode::unsupported,
                       "begins with 200 bytes that are empty by its seek table");
}

TEST(SeekTables, a_bomb_is_refused_before_anything_is_decoded) {
  SeekTable bomb;
  constexpr uint32_t kFrames = 200'000;
  bomb.payload_bytes = size_t{kFrames} * 10;
  for (uint32_t i = 0; i < kFrames; ++i) bomb.add(10, 64u << 20);
  expect_quick_refusal(FileForm::zstd, bomb.finish(kFrames), StatusCode::unsupported,
                       "more than 2048 times");
}

TEST(FileForm, is_detected_by_the_first_bytes_whatever_follows) {
  const auto form_of = [](std::string_view bytes) {
    return detect_form(MemorySource(as_bytes(bytes))).value();
  };
  using namespace std::string_view_literals;
  EXPECT_EQ(form_of("PK\x03\x04"), FileForm::plain);
  EXPECT_EQ(form_of(""), FileForm::plain);
  EXPECT_EQ(form_of("\x28\xb5\x2f"), FileForm::plain);
  EXPECT_EQ(form_of("\x28\xb5\x2f\xfd"), FileForm::zstd);
  EXPECT_EQ(form_of("\x5e\x2a\x4d\x18"), FileForm::zstd);
  EXPECT_EQ(form_of("\x89TTZ\r\n\x1a\n"), FileForm::planes);
  EXPECT_EQ(form_of("\x89TTZ\n\x1a\n "), FileForm::plain);
}

}  // namespace
}  // namespace tintype
