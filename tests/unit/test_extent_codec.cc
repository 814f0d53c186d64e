// Extents through the encoders and back, by themselves and as a whole file.
#include <zstd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "base/plane_index.h"
#include "io/archive/byte_planes.h"
#include "io/archive/compressed_form.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/crc32.h"
#include "io/archive/extent_decoder.h"
#include "io/archive/extent_encoder.h"
#include "io/archive/file_form.h"
#include "io/archive/plane_runs.h"
#include "tests/support/codec_data.h"

namespace tintype {
namespace {

using testing::HasSubstr;
constexpr size_t kKiB = 1024;
constexpr size_t kMiB = 1024 * kKiB;

std::unique_ptr<ExtentEncoder> encoder_of(FileForm form) {
  return ExtentEncoder::create({.form = form}).value();
}

struct Encoded {
  EncodedExtent extent;
  ByteVector bytes;

  IndexedExtent indexed() const {
    return {.plain_bytes = static_cast<uint32_t>(extent.plain_bytes),
            .encoded_bytes = static_cast<uint32_t>(extent.encoded_bytes),
            .payload_bytes = static_cast<uint32_t>(extent.payload_bytes),
            .checksum = extent.checksum};
  }
};

Encoded encode(FileForm form, ByteView plain, std::span<const ElementRun> runs,
               Coding coding = Coding::best) {
  Encoded encoded;
  const uint64_t bound = encoded_bound_bytes(plain.size());
  encoded.bytes.assign(bound + 1, std::byte{0xA5});
  encoded.extent = encoder_of(form)
                       ->encode(plain, runs, MutableBytes(encoded.bytes).first(bound), coding)
                       .value();
  EXPECT_EQ(encoded.bytes.back(), std::byte{0xA5});
  encoded.bytes.resize(encoded.extent.encoded_bytes);
  return encoded;
}

Status decode(FileForm form, const Encoded& encoded, ByteVector& plain) {
  plain.assign(encoded.extent.plain_bytes, std::byte{0xA5});
  return ExtentDecoder::create(form, true)->decode(encoded.indexed(), encoded.bytes, plain);
}

class ExtentCodec : public testing::TestWithParam<FileForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, ExtentCodec, testing::Values(FileForm::zstd, FileForm::planes),
                         [](const auto& form) { return std::string(to_string(form.param)); });

TEST_P(ExtentCodec, every_content_and_size_comes_back_in_aligned_pieces) {
  const std::array<size_t, 12> sizes = {
      1, 2, 7, 4095, 4096, 4097, 64 * kKiB, 128 * kKiB, 300'000, kMiB + 3, 3 * kMiB, 5'000'001};
  for (const Content content : {Content::zeros, Content::random, Content::weights_fp32,
                                Content::weights_bf16, Content::counters_int64, Content::text}) {
    for (const size_t size : sizes) {
      SCOPED_TRACE(testing::Message()
                   << "content " << static_cast<int>(content) << " size " << size);
      const ByteVector plain = content_bytes(content, size, static_cast<uint32_t>(size));
      const uint32_t width = element_bytes_of(content);
      std::vector<ElementRun> runs;
      if (size >= width) runs.push_back({0, size - size % width, width, is_floating(content)});
      const Encoded encoded = encode(GetParam(), plain, runs);
      EXPECT_EQ(encoded.extent.plain_bytes, size);
      EXPECT_EQ(encoded.extent.encoded_bytes % kEncodedAlignmentBytes, 0u);
      EXPECT_LE(encoded.extent.encoded_bytes, encoded_bound_bytes(size));
      EXPECT_GE(encoded.extent.encoded_bytes, size / kExpansionMax);
      ByteVector back;
      const Status status = decode(GetParam(), encoded, back);
      ASSERT_TRUE(status.is_ok()) << status.to_string();
      EXPECT_EQ(back, plain);
    }
  }
}

TEST_P(ExtentCodec, random_mixtures_of_elements_come_back) {
  std::mt19937 random(11);
  for (int round = 0; round < 30; ++round) {
    const size_t size = 1 + random() % (2 * kMiB);
    ByteVector plain;
    std::vector<ElementRun> runs;
    while (plain.size() < size) {
      const auto content = static_cast<Content>(random() % 6);
      const size_t part =
          std::min<size_t>(1 + random() % (random() % 2 ? 300'000 : 500), size - plain.size());
      const uint32_t width = element_bytes_of(content);
      if (part >= width)
        runs.push_back({plain.size(), part - part % width, width, is_floating(content)});
      append_bytes(plain, content_bytes(content, part, static_cast<uint32_t>(random())));
    }
    const Encoded encoded = encode(GetParam(), plain, runs);
    ByteVector back;
    const Status status = decode(GetParam(), encoded, back);
    ASSERT_TRUE(status.is_ok()) << "round " << round << ": " << status.to_string();
    EXPECT_EQ(back, plain) << "round " << round;
  }
}

TEST_P(ExtentCodec, what_does_not_shrink_is_raw_and_says_so) {
  const ByteVector plain = content_bytes(Content::random, kMiB, 3);
  const Encoded encoded = encode(GetParam(), plain, {});
  EXPECT_TRUE(encoded.extent.is_raw);
  EXPECT_LE(encoded.extent.encoded_bytes, kMiB + 4096);
  const Encoded shrunk = encode(GetParam(), content_bytes(Content::zeros, kMiB, 3), {});
  EXPECT_FALSE(shrunk.extent.is_raw);
  EXPECT_EQ(shrunk.extent.encoded_bytes, 4096u);
}

TEST_P(ExtentCodec, raw_coding_stores_what_would_shrink) {
  const ByteVector plain = content_bytes(Content::weights_bf16, kMiB, 4);
  const ElementRun run{0, kMiB, 2, true};
  const Encoded encoded = encode(GetParam(), plain, {&run, 1}, Coding::raw);
  EXPECT_TRUE(encoded.extent.is_raw);
  EXPECT_GT(encoded.extent.encoded_bytes, kMiB);
  ByteVector back;
  ASSERT_TRUE(decode(GetParam(), encoded, back).is_ok());
  EXPECT_EQ(back, plain);
}

TEST_P(ExtentCodec, the_largest_extent_stays_within_its_bound) {
  const ByteVector plain = content_bytes(Content::random, kPlainExtentBytesMax, 5);
  EXPECT_LT(encoded_bound_bytes(plain.size()), plain.size() + 64 * kKiB);
  const Encoded encoded = encode(GetParam(), plain, {});
  ByteVector back;
  ASSERT_TRUE(decode(GetParam(), encoded, back).is_ok());
  EXPECT_TRUE(back == plain);
}

TEST_P(ExtentCodec, an_extent_of_zeros_expands_to_a_bounded_multiple) {
  const ByteVector plain(kPlainExtentBytesMax);
  const Encoded encoded = encode(GetParam(), plain, {});
  EXPECT_EQ(encoded.extent.encoded_bytes, kPlainExtentBytesMax / kExpansionMax);
  ByteVector back;
  ASSERT_TRUE(decode(GetParam(), encoded, back).is_ok());
  EXPECT_TRUE(back == plain);
}

// Each thread has an encoder of its own and takes the next extent, as an engine's do.
TEST_P(ExtentCodec, extents_of_every_size_by_every_number_of_threads_come_back) {
  const bool is_full = std::getenv("TINTYPE_FULL") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  const std::vector<size_t> sizes =
      is_full ? std::vector<size_t>{1, 3, 8, 32, 64} : std::vector<size_t>{1, 3};
  ByteVector plain = content_bytes(Content::weights_fp32, 5 * kMiB, 1);
  append_bytes(plain, content_bytes(Content::counters_int64, 2 * kMiB + 40, 2));
  append_bytes(plain, content_bytes(Content::random, kMiB, 3));
  if (is_full) {
    while (plain.size() < 100 * kMiB) append_bytes(plain, ByteVector(plain));
  }
  ElementMap elements;
  elements.add(0, 5 * kMiB, 4, true);
  elements.add(5 * kMiB, 2 * kMiB, 8, false);
  for (const size_t size : sizes) {
    for (size_t thread_count = 1; thread_count <= 8; thread_count += is_full ? 1 : 7) {
      SCOPED_TRACE(testing::Message() << size << " MiB, " << thread_count << " threads");
      const size_t extent_bytes = size * kMiB;
      std::atomic<size_t> next{0};
      std::atomic<size_t> wrong_count{0};
      std::vector<std::thread> threads;
      for (size_t i = 0; i < thread_count; ++i) {
        threads.emplace_back([&] {
          for (size_t at; (at = extent_bytes * next++) < plain.size();) {
            const ByteView part =
                ByteView(plain).subspan(at, std::min(extent_bytes, plain.size() - at));
            const Encoded encoded = encode(GetParam(), part, elements.runs_in(at, part.size()));
            ByteVector back;
            const bool is_right = decode(GetParam(), encoded, back).is_ok() &&
                                  std::equal(back.begin(), back.end(), part.begin(), part.end());
            if (!is_right) ++wrong_count;
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      EXPECT_EQ(wrong_count, 0u);
    }
  }
}

// The extent as it would arrive with some of its runs split.
SplitExtent arrive_split(MutableBytes bytes, std::span<const ElementRun> runs, uint32_t seed) {
  std::mt19937 random(seed);
  SplitExtent split{.runs = {}, .plain_crc = crc32(0, bytes)};
  for (const PlaneRun& run : cut_plane_runs(bytes.size(), runs)) {
    split.runs.push_back({run, run.width > 1 && random() % 3 != 0});
    if (!split.runs.back().is_split) continue;
    const MutableBytes place = bytes.subspan(run.offset, run.size_bytes);
    const ByteVector elements(place.begin(), place.end());
    std::vector<std::byte*> planes;
    for (uint32_t b = 0; b < run.width; ++b) {
      planes.push_back(place.data() + plane_index(0, b, run.size_bytes / run.width));
    }
    split_planes(elements, run.is_rotated, planes);
  }
  return split;
}

TEST(PlanesCodec, an_extent_that_arrives_split_is_encoded_as_any_other) {
  std::mt19937 random(12);
  for (uint32_t round = 0; round < 40; ++round) {
    const size_t size = 1 + random() % (3 * kMiB);
    ByteVector bytes;
    std::vector<ElementRun> runs;
    while (bytes.size() < size) {
      const auto content = static_cast<Content>(random() % 6);
      const size_t part = std::min<size_t>(1 + random() % kMiB, size - bytes.size());
      const uint32_t width = std::max(element_bytes_of(content), 1u << random() % 4);
      if (part >= width) {
        runs.push_back({bytes.size(), part - part % width, width, random() % 2 == 0});
      }
      append_bytes(bytes, content_bytes(content, part, static_cast<uint32_t>(random())));
    }
    for (const Coding coding : {Coding::best, Coding::raw}) {
      const Encoded plain = encode(FileForm::planes, bytes, runs, coding);
      ByteVector arrived = bytes;
      const SplitExtent split = arrive_split(arrived, runs, round);
      ByteVector target(encoded_bound_bytes(size));
      const EncodedExtent encoded =
          encoder_of(FileForm::planes)->encode_split(arrived, split, target, coding).value();
      ASSERT_EQ(encoded.encoded_bytes, plain.extent.encoded_bytes);
      EXPECT_EQ(encoded.payload_bytes, plain.extent.payload_bytes);
      EXPECT_EQ(encoded.checksum, plain.extent.checksum);
      EXPECT_EQ(encoded.is_raw, plain.extent.is_raw);
      EXPECT_TRUE(std::equal(plain.bytes.begin(), plain.bytes.end(), target.begin()));
    }
  }
}

TEST(PlanesCodec, weights_shrink_to_what_their_exponents_allow) {
  const ByteVector fp32 = content_bytes(Content::weights_fp32, 8 * kMiB, 6);
  const ElementRun run32{0, fp32.size(), 4, true};
  const auto fp32_bytes = encode(FileForm::planes, fp32, {&run32, 1}).extent.encoded_bytes;
  EXPECT_GE(static_cast<double>(fp32.size()) / static_cast<double>(fp32_bytes), 1.18);
  const ByteVector bf16 = content_bytes(Content::weights_bf16, 8 * kMiB, 7);
  const ElementRun run16{0, bf16.size(), 2, true};
  const auto bf16_bytes = encode(FileForm::planes, bf16, {&run16, 1}).extent.encoded_bytes;
  EXPECT_GE(static_cast<double>(bf16.size()) / static_cast<double>(bf16_bytes), 1.50);
}

TEST(ExtentEncoder, options_that_mean_nothing_are_refused) {
  EXPECT_EQ(ExtentEncoder::create({.form = FileForm::plain}).status().code(),
            StatusCode::invalid_argument);
  for (const int level : {0, 23, -1}) {
    const auto encoder = ExtentEncoder::create({.form = FileForm::zstd, .zstd_level = level});
    EXPECT_EQ(encoder.status().code(), StatusCode::invalid_argument);
    EXPECT_THAT(encoder.status().to_string(), HasSubstr(std::to_string(level)));
  }
}

// The library tells how much only of a context that holds it. Half of it may be for nothing.
TEST(ExtentEncoder, holds_as_much_memory_as_it_says) {
  constexpr size_t kRawContextBytes = 600 * kKiB;
  const ByteVector zeros(8 * kMiB);
  ByteVector target(encoded_bound_bytes(zeros.size()));
  for (int level = 1; level <= ZSTD_maxCLevel(); ++level) {
    const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                       &ZSTD_freeCCtx);
    ASSERT_EQ(ZSTD_isError(ZSTD_compressCCtx(context.get(), target.data(), target.size(),
                                             zeros.data(), zeros.size(), level)),
              0u);
    const uint64_t held_bytes = ZSTD_sizeof_CCtx(context.get()) + kRawContextBytes;
    const uint64_t said_bytes = encoder_memory_bytes({.form = FileForm::zstd, .zstd_level = level});
    EXPECT_LE(held_bytes, said_bytes) << level;
    EXPECT_GE(held_bytes * 2, said_bytes) << level;
  }
}

TEST(FileForm, names_and_suffixes) {
  EXPECT_EQ(form_of_name("runs/x.pth.zst"), FileForm::zstd);
  EXPECT_EQ(form_of_name("X.PTH.TtZ"), FileForm::planes);
  for (const char* name : {"x.pth", "k.zst.pth", "zst", ".zst", "..ttz", "a.zst/x", "x.zst.", ""}) {
    EXPECT_EQ(form_of_name(name), FileForm::plain) << name;
  }
  for (const FileForm form : {FileForm::plain, FileForm::zstd, FileForm::planes}) {
    EXPECT_EQ(form_of_name("x.pth" + std::string(suffix_of(form))), form);
  }
}

}  // namespace
}  // namespace tintype
