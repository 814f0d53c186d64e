// `.zst` files as the zstd command makes them, without a seek table.
#include <zstd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "engine/restore/archive.h"
#include "engine/restore/image.h"
#include "io/archive/zstd_stream.h"
#include "tests/support/small_archive.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::HasSubstr;
using namespace testing_support;

ByteVector zstd_frame(ByteView plain, int level = 3) {
  ByteVector frame(ZSTD_compressBound(plain.size()));
  frame.resize(ZSTD_compress(frame.data(), frame.size(), plain.data(), plain.size(), level));
  return frame;
}

class ZstdFiles : public testing::Test {
 protected:
  ZstdFiles()
      : plain_(archive_of({{"data.pkl", pickle_of({{"a", "0", 300'000, 0, {300'000}, {1}}})},
                           {"byteorder", "little"},
                           {"data/0", counting_floats(300'000)},
                           {"version", "3\n"}})) {}

  Result<Image> open(ByteView file, const ReadLimits& limits = {}) {
    return image_of(std::make_unique<MemorySource>(file, "y.pth.zst"), limits);
  }

  ByteVector plain_;
};

TEST_F(ZstdFiles, one_frame_and_several_are_read_from_memory) {
  ByteVector several;
  for (size_t offset = 0; offset < plain_.size(); offset += 500'000) {
    const size_t size = std::min<size_t>(500'000, plain_.size() - offset);
    append_bytes(several, zstd_frame(ByteView(plain_).subspan(offset, size)));
  }
  for (const ByteVector& file : {zstd_frame(plain_), several}) {
    Image image = open(file).value();
    EXPECT_EQ(image.form, FileForm::zstd);
    EXPECT_EQ(image.compressed, nullptr);
    ByteVector back(image.source->size_bytes());
    ASSERT_OK(image.source->read_at(back, 0));
    EXPECT_EQ(back, plain_);
    const auto archive = Archive::open(std::move(image));
    ASSERT_OK(archive);
    EXPECT_OK((*archive)->read_tensor(*(*archive)->find_tensor("model/a")));
  }
}

TEST_F(ZstdFiles, cut_off_and_damaged_ones_are_corruption) {
  const ByteVector file = zstd_frame(plain_);
  for (const size_t size : {4ul, 100ul, file.size() / 2, file.size() - 1}) {
    EXPECT_THAT(open(ByteView(file).first(size)),
                IsStatus(StatusCode::corruption, HasSubstr("'y.pth.zst'")));
  }
  ByteVector damaged = file;
  damaged[5000] ^= std::byte{1};
  damaged[5] ^= std::byte{255};
  EXPECT_FALSE(open(damaged).is_ok());
}

TEST_F(ZstdFiles, damage_and_what_was_appended_are_told_with_what_to_do) {
  ByteVector longer = zstd_frame(plain_);
  const size_t end = longer.size();
  append_text(longer, "appended");
  EXPECT_THAT(open(longer), IsStatus(StatusCode::corruption, HasSubstr("behind a whole frame")));
  longer.resize(end + 1);
  longer[end] = std::byte{0x28};  // as a frame begins
  EXPECT_THAT(open(longer), IsStatus(StatusCode::corruption, HasSubstr("bytes were appended")));
  ByteVector damaged = zstd_frame(plain_);
  damaged[damaged.size() / 2] ^= std::byte{64};
  damaged.resize(damaged.size() - 3);
  EXPECT_THAT(open(damaged), IsStatus(StatusCode::corruption, HasSubstr("copy or download")));
}

// Debian's library reads them, with a window of 128 MiB here.
TEST_F(ZstdFiles, frames_of_zstd_before_0_8_are_no_frames) {
  constexpr unsigned char kOldFrame[] = {0x26, 0xB5, 0x2F, 0xFD, 0xDF, 0xB8,
                                         0x0E, 0x70, 0,    0,    0,    0};
  const ByteView old_frame = std::as_bytes(std::span(kOldFrame));
  ByteVector target(1000);
  ByteView alone = old_frame;
  EXPECT_THAT(ZstdStream("z").decode(alone, target),
              IsStatus(StatusCode::corruption, HasSubstr("damaged at about byte 0")));
  ByteVector longer = zstd_frame(plain_);
  append_bytes(longer, old_frame);
  EXPECT_THAT(open(longer), IsStatus(StatusCode::corruption, HasSubstr("behind a whole frame")));
}

TEST_F(ZstdFiles, what_does_not_fit_into_memory_is_left_to_zstd) {
  EXPECT_THAT(open(zstd_frame(plain_), {.streamed_image_bytes = 1'000'000}),
              IsStatus(StatusCode::unsupported, HasSubstr("zstd -d")));
}

TEST_F(ZstdFiles, what_does_not_begin_as_an_archive_is_not_decoded_to_its_end) {
  ByteVector text(1'000'000, std::byte{'x'});
  const auto refused_within = [&](const ReadLimits& limits) {
    return open(zstd_frame(text), limits).status();
  };
  const ReadLimits little{.streamed_image_bytes = 500'000};
  EXPECT_THAT(refused_within(little),
              IsStatus(StatusCode::corruption, HasSubstr("is no checkpoint")));
  text[0] = std::byte{0x1F};
  text[1] = std::byte{0x8B};
  EXPECT_THAT(refused_within(little), IsStatus(StatusCode::unsupported, HasSubstr("gunzip")));
}

TEST_F(ZstdFiles, decoding_is_interrupted) {
  int asked_count = 0;
  const auto is_interrupted = [&] { return ++asked_count == 1; };
  ByteVector large = plain_;
  large.resize(size_t{256} << 20);
  const ByteVector file = zstd_frame(large, 1);
  EXPECT_THAT(image_of(std::make_unique<MemorySource>(file), {.image_free_bytes = 1u << 30},
                       is_interrupted),
              IsStatus(StatusCode::interrupted, HasSubstr("interrupted")));
  EXPECT_EQ(asked_count, 1);
}

TEST_F(ZstdFiles, a_bomb_is_refused_early) {
  ByteVector zeros(size_t{256} << 20);
  std::copy_n(plain_.begin(), 4, zeros.begin());
  const ByteVector bomb = zstd_frame(zeros, 1);
  EXPECT_LT(bomb.size(), 100'000u);
  EXPECT_THAT(open(bomb), IsStatus(StatusCode::unsupported, HasSubstr("2048 times its size")));
}

// A frame of 64 MiB of zeros behind a whole one.
TEST_F(ZstdFiles, a_frame_that_says_it_goes_beyond_the_limit_is_refused_unread) {
  const ByteVector zeros(size_t{64} << 20);
  const ByteVector frame = zstd_frame(zeros, 1);
  const ByteVector alone = zstd_frame(plain_);
  ByteVector bomb = alone;
  append_bytes(bomb, frame);
  for (const uint64_t allowed_bytes : {plain_.size() + zeros.size() - 1, plain_.size() + 1}) {
    const ReadLimits limits{.image_free_bytes = allowed_bytes};
    ZstdStream of_file("z", limits, 1);
    ByteVector target(1 << 20);
    ByteView input = bomb;
    uint64_t decoded_bytes = 0;
    Result<size_t> decoded = size_t{0};
    do {
      decoded = of_file.decode(input, target);
      decoded_bytes += decoded.is_ok() ? *decoded : 0;
    } while (decoded.is_ok() && *decoded != 0);
    EXPECT_THAT(decoded, IsStatus(StatusCode::unsupported, HasSubstr("2048 times its size")));
    EXPECT_LE(decoded_bytes, plain_.size()) << "none of the zeros";
  }
  EXPECT_OK(open(bomb, {.image_free_bytes = plain_.size() + zeros.size()}));
}

TEST_F(ZstdFiles, a_size_that_cannot_be_is_refused_like_a_large_one) {
  ByteVector file;
  append_little_endian(file, uint32_t{0xFD2FB528});
  append_text(file, "\xC0\x58");  // a size of 8 bytes, a window of 2 MiB
  append_little_endian(file, uint64_t{1} << 63);
  file.resize(file.size() + 100);
  ZstdStream stream("z", {}, file.size());
  ByteVector target(1000);
  ByteView input = file;
  EXPECT_THAT(stream.decode(input, target),
              IsStatus(StatusCode::unsupported, HasSubstr("2048 times its size")));
}

TEST_F(ZstdFiles, a_stream_comes_out_whatever_the_pieces) {
  const ByteVector file = zstd_frame(plain_);
  for (const size_t piece : {1ul, 7ul, 1000ul, 200'000ul}) {
    ZstdStream stream("z");
    ByteVector back;
    ByteVector target(piece == 1 ? 333 : 50'000);
    for (size_t offset = 0; offset < file.size(); offset += piece) {
      ByteView input = ByteView(file).subspan(offset, std::min(piece, file.size() - offset));
      for (size_t count = 1; count != 0 || !input.empty();) {
        const auto decoded = stream.decode(input, target);
        ASSERT_OK(decoded);
        count = *decoded;
        append_bytes(back, ByteView(target).first(count));
      }
    }
    EXPECT_OK(stream.finish());
    EXPECT_EQ(back, plain_);
  }
}

}  // namespace
}  // namespace tintype
