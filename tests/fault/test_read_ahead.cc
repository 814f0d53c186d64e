// ReadAhead: every byte arrives whatever the disk and the readers do.
#include <cerrno>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/restore/file_source.h"
#include "engine/restore/read_ahead.h"
#include "io/archive/crc32.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using testing::HasSubstr;

constexpr size_t kFileBytes = (80u << 20) + 12345;  // more than the window holds

class ReadAheadTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::mt19937_64 random(11);
    content_.resize(kFileBytes);
    for (size_t i = 0; i + 8 <= kFileBytes; i += 8) {
      const uint64_t word = random();
      std::memcpy(&content_[i], &word, sizeof(word));
    }
  }

  ReadAheadTest() { write_text(directory_ / "x", content_); }

  std::unique_ptr<File> open_file(FileSystem& file_system) {
    return file_system.open_directory(directory_.path()).value()->open("x", false).value();
  }
  // Plain reads by `plain`, those ahead by `direct`.
  std::unique_ptr<ReadAhead> start(FileSystem& plain, FileSystem& direct) {
    auto source = FileSource::own(open_file(plain)).value();
    return ReadAhead::start(std::move(source), open_file(direct)).value();
  }

  void expect_right(const ByteSource& source, uint64_t offset, size_t size_bytes) {
    ByteVector bytes(size_bytes);
    const auto crc = source.read_with_crc(bytes, offset);
    ASSERT_OK(crc);
    ASSERT_TRUE(as_text(bytes) == std::string_view(content_).substr(offset, size_bytes)) << offset;
    ASSERT_EQ(*crc, crc32(0, bytes));
  }
  void expect_right_in_steps(const ByteSource& source, uint64_t begin, uint64_t stride) {
    std::mt19937 random(static_cast<unsigned>(begin));
    for (uint64_t offset = begin; offset < kFileBytes; offset += stride) {
      const uint64_t size = stride - random() % (stride / 2);
      expect_right(source, offset, std::min<uint64_t>(size, kFileBytes - offset));
    }
  }

  inline static std::string content_;
  TempDir directory_{fast_parent()};
  FaultInjector injector_;
  FaultFileSystem faulty_{posix_file_system(), injector_};
};

TEST_F(ReadAheadTest, one_reader_gets_every_byte) {
  const auto ahead = start(posix_file_system(), posix_file_system());
  expect_right_in_steps(*ahead, 0, 1'000'003);
}

TEST_F(ReadAheadTest, reader_in_the_window_leaves_the_plain_file_alone) {
  const auto ahead = start(faulty_, posix_file_system());
  expect_right(*ahead, 0, 1000);
  for (uint64_t offset = 0; offset < kFileBytes; offset += 1u << 20) {
    expect_right(*ahead, offset, std::min<size_t>(1u << 20, kFileBytes - offset));
  }
  for (const auto& operation : injector_.trace()) EXPECT_NE(operation.name, "read_at");
}

TEST_F(ReadAheadTest, readers_side_by_side_get_every_byte) {
  for (const uint64_t count : {2u, 5u, 40u}) {  // 40: some fall out of the window
    const auto ahead = start(posix_file_system(), posix_file_system());
    std::vector<std::jthread> readers;
    for (uint64_t i = 0; i < count; ++i) {
      readers.emplace_back([&, i] {
        for (uint64_t at = i << 20; at < kFileBytes; at += count << 20) {
          expect_right(*ahead, at, std::min<size_t>(1u << 20, kFileBytes - at));
        }
      });
    }
  }
}

TEST_F(ReadAheadTest, steps_back_and_to_the_end_are_read_plainly) {
  const auto ahead = start(posix_file_system(), posix_file_system());
  expect_right(*ahead, kFileBytes - 1000, 1000);
  expect_right(*ahead, 60u << 20, 3u << 20);
  expect_right(*ahead, 0, 30u << 20);
  expect_right(*ahead, 5, 10);
  expect_right(*ahead, 20u << 20, 20u << 20);
}

TEST_F(ReadAheadTest, refused_direct_reads_are_done_plainly) {
  for (const int error : {EINVAL, EIO}) {
    for (const size_t first : {0u, 3u}) {
      injector_.reset();
      injector_.fail_named("read_at", error, first, SIZE_MAX);
      const auto ahead = start(posix_file_system(), faulty_);
      expect_right_in_steps(*ahead, 0, 1'000'003);
      EXPECT_GT(injector_.fired(), 0u);
    }
  }
}

TEST_F(ReadAheadTest, disk_that_fails_both_ways_is_an_error_with_its_errno) {
  injector_.fail_named("read_at", EIO, 6, SIZE_MAX);
  const auto ahead = start(faulty_, faulty_);
  ByteVector bytes(kFileBytes);
  const Status status = ahead->read_at(bytes, 0);
  EXPECT_THAT(status, IsStatus(StatusCode::io_error, HasSubstr("EIO")));
  EXPECT_EQ(status.error_number(), EIO);
}

TEST_F(ReadAheadTest, file_that_became_shorter_is_told) {
  auto source = FileSource::own(open_file(posix_file_system())).value();
  ASSERT_EQ(::truncate((directory_ / "x").c_str(), 10 << 20), 0);
  const auto ahead = ReadAhead::start(std::move(source), open_file(posix_file_system())).value();
  ByteVector bytes(kFileBytes);
  EXPECT_OK(ahead->read_at(MutableBytes(bytes).first(10u << 20), 0));
  EXPECT_THAT(ahead->read_at(bytes, 0),
              IsStatus(StatusCode::corruption, HasSubstr("became shorter")));
}

TEST_F(ReadAheadTest, end_before_the_first_read_waits_for_nobody) {
  for (int i = 0; i < 20; ++i) start(posix_file_system(), posix_file_system());
}

TEST_F(ReadAheadTest, only_a_large_file_that_is_not_cached_is_read_ahead) {
  const auto is_read_ahead = [&](double cached_share, size_t size_bytes) {
    injector_.pretend_cached_share(cached_share);
    write_text(directory_ / "y", content_.substr(0, size_bytes));
    const auto source = open_for_one_pass(faulty_, directory_ / "y").value();
    return dynamic_cast<const ReadAhead*>(source.get()) != nullptr;
  };
  if (!open_file(posix_file_system())->set_direct(true).is_ok()) GTEST_SKIP() << "no O_DIRECT";
  EXPECT_TRUE(is_read_ahead(0, 32u << 20));
  EXPECT_TRUE(is_read_ahead(0.49, 32u << 20));
  EXPECT_FALSE(is_read_ahead(0.5, 32u << 20));
  EXPECT_FALSE(is_read_ahead(1, 32u << 20));
  EXPECT_FALSE(is_read_ahead(0, (32u << 20) - 1));
  injector_.fail_named("set_direct", EINVAL);
  EXPECT_FALSE(is_read_ahead(0, 32u << 20));
  EXPECT_EQ(injector_.fired(), 1u);
}

TEST_F(ReadAheadTest, open_for_one_pass_reads_any_size) {
  for (const size_t size : {size_t{0}, size_t{1}, size_t{40} << 20}) {
    write_text(directory_ / "y", content_.substr(0, size));
    const auto source = open_for_one_pass(posix_file_system(), directory_ / "y");
    ASSERT_OK(source);
    ASSERT_EQ((*source)->size_bytes(), size);
    expect_right(**source, 0, size);
  }
}

}  // namespace
}  // namespace tintype
