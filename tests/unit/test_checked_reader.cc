// CheckedReader: bytes are checked before they are handed out, and read once.
#include <atomic>
#include <chrono>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>

#include "engine/restore/checked_reader.h"
#include "engine/restore/stand_in_header.h"
#include "tests/support/small_archive.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::HasSubstr;
using namespace testing_support;

constexpr size_t kPayloadBytes = 5u << 20;  // of data/0: several pieces

// Bytes in memory; counts how many were asked for, and takes its time.
class CountingSource final : public ByteSource {
 public:
  CountingSource(ByteView bytes, std::atomic<uint64_t>& count, std::chrono::milliseconds delay)
      : bytes_(bytes), count_(count), delay_(delay) {}

  uint64_t size_bytes() const override { return bytes_.size_bytes(); }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    count_ += target.size();
    std::this_thread::sleep_for(delay_);
    return bytes_.read_at(target, offset);
  }
  const std::string& name() const override { return bytes_.name(); }

 private:
  MemorySource bytes_;
  std::atomic<uint64_t>& count_;
  const std::chrono::milliseconds delay_;
};

class CheckedReaderTest : public testing::Test {
 protected:
  CheckedReaderTest()
      : image_(archive_of({{"data.pkl", pickle_of({})},
                           {"data/0", std::string(kPayloadBytes, 'a')},
                           {"data/1", std::string(1000, 'b')},
                           {"data/2", ""},
                           {"version", "3\n"}})) {}

  Result<std::unique_ptr<CheckedReader>> open(CheckedReadOptions options = {}) {
    count_ = 0;
    return CheckedReader::open(std::make_unique<CountingSource>(image_, count_, delay_),
                               std::move(options));
  }

  // Of the first byte of a payload of `byte`s.
  uint64_t payload_offset(char byte, size_t size_bytes) const {
    return as_text(image_).find(std::string(size_bytes, byte));
  }
  Status read(CheckedReader& reader, uint64_t offset, size_t size_bytes) {
    target_.assign(size_bytes, std::byte{'?'});
    return reader.read(target_, offset);
  }

  // Where data/0 begins, by its local header and by its entry of the directory.
  uint64_t header_offset() const { return as_text(image_).find("archive/data/0") - 30; }
  uint64_t entry_offset() const { return as_text(image_).rfind("archive/data/0") - 46; }

  // What had a descriptor has its CRC and sizes in front: the descriptor becomes a gap.
  void drop_descriptor() {
    const auto put = [&](uint64_t at, uint32_t value) { std::memcpy(&image_[at], &value, 4); };
    image_[header_offset() + 6] ^= std::byte{8};
    image_[entry_offset() + 8] ^= std::byte{8};
    put(header_offset() + 14, crc32(0, as_bytes(std::string(kPayloadBytes, 'a'))));
    put(header_offset() + 18, kPayloadBytes);
    put(header_offset() + 22, kPayloadBytes);
  }
  // As torch finds it: by the lengths in the local header that it is handed.
  uint64_t shown_payload(CheckedReader& reader) {
    EXPECT_OK(read(reader, header_offset(), 30));
    EXPECT_EQ(as_text(target_).substr(0, 4), "PK\x03\x04");
    return header_offset() + 30 + load_little_endian<uint16_t>(target_, 26) +
           load_little_endian<uint16_t>(target_, 28);
  }

  ByteVector image_;
  ByteVector target_;
  std::atomic<uint64_t> count_{0};
  std::chrono::milliseconds delay_{0};
};

TEST_F(CheckedReaderTest, all_payloads_are_read_once) {
  auto reader = open();
  ASSERT_OK(reader);
  ASSERT_OK(read(**reader, payload_offset('a', kPayloadBytes), kPayloadBytes));
  EXPECT_EQ(as_text(target_), std::string(kPayloadBytes, 'a'));
  ASSERT_OK((*reader)->finish());
  EXPECT_GT(count_, kPayloadBytes);
  EXPECT_LT(count_, image_.size() + (130u << 10));  // the search for the end record, headers
}

TEST_F(CheckedReaderTest, whole_image_is_handed_out_as_it_is) {
  auto reader = open();
  ASSERT_OK(reader);
  ASSERT_EQ((*reader)->size_bytes(), image_.size());
  ASSERT_OK(read(**reader, 0, image_.size()));
  EXPECT_TRUE(target_ == image_);
}

TEST_F(CheckedReaderTest, damage_at_any_place_of_a_payload_fails_its_read) {
  const uint64_t payload = payload_offset('a', kPayloadBytes);
  for (const size_t at : {size_t{0}, kPayloadBytes / 2, kPayloadBytes - 1}) {
    image_[payload + at] ^= std::byte{1};
    auto reader = open();
    ASSERT_OK(reader);
    EXPECT_THAT(read(**reader, payload, kPayloadBytes),
                IsStatus(StatusCode::corruption, HasSubstr("data/0")));
    image_[payload + at] ^= std::byte{1};
  }
}

TEST_F(CheckedReaderTest, part_of_a_damaged_payload_is_not_handed_out) {
  const uint64_t payload = payload_offset('a', kPayloadBytes);
  image_[payload + kPayloadBytes - 1] ^= std::byte{1};
  auto reader = open();
  ASSERT_OK(reader);
  EXPECT_THAT(read(**reader, payload, 10), IsStatus(StatusCode::corruption, HasSubstr("data/0")));
  EXPECT_EQ(as_text(target_), "??????????");
}

TEST_F(CheckedReaderTest, look_at_the_structure_reads_no_payload_and_clears_none) {
  image_[payload_offset('a', kPayloadBytes)] ^= std::byte{1};
  auto reader = open();
  ASSERT_OK(reader);
  ASSERT_OK(read(**reader, image_.size() - 4096, 4096));  // as torch begins
  EXPECT_LT(count_, uint64_t{200} << 10);
  ASSERT_OK(read(**reader, 0, image_.size()));
  EXPECT_THAT((*reader)->finish(), IsStatus(StatusCode::corruption, HasSubstr("data/0")));
}

TEST_F(CheckedReaderTest, headers_are_handed_out_without_their_payloads) {
  image_[payload_offset('a', kPayloadBytes)] ^= std::byte{1};
  auto reader = open();
  ASSERT_OK(reader);
  const uint64_t header = as_text(image_).find("PK\x03\x04", 4);
  EXPECT_OK(read(**reader, header, 30));
  EXPECT_LT(count_, uint64_t{200} << 10);
}

TEST_F(CheckedReaderTest, finish_finds_damage_that_nobody_read) {
  image_[payload_offset('b', 1000)] ^= std::byte{1};
  auto reader = open();
  ASSERT_OK(reader);
  ASSERT_OK(read(**reader, payload_offset('a', kPayloadBytes), kPayloadBytes));
  EXPECT_THAT((*reader)->finish(), IsStatus(StatusCode::corruption, HasSubstr("data/1")));
}

TEST_F(CheckedReaderTest, damaged_descriptor_fails_the_read_of_its_payload) {
  const uint64_t payload = payload_offset('a', kPayloadBytes);
  image_[payload + kPayloadBytes + 5] ^= std::byte{1};
  auto reader = open();
  ASSERT_OK(reader);
  EXPECT_THAT(read(**reader, payload, kPayloadBytes),
              IsStatus(StatusCode::corruption, HasSubstr("copy of CRC")));
}

TEST_F(CheckedReaderTest, storages_left_out_are_neither_read_nor_checked) {
  const uint64_t payload = payload_offset('a', kPayloadBytes);
  image_[payload] ^= std::byte{1};
  auto reader = open({.storages = StorageChoice(std::unordered_set<std::string>{"1"})});
  ASSERT_OK(reader);
  ASSERT_OK(read(**reader, payload, kPayloadBytes));
  EXPECT_EQ(as_text(target_), std::string(kPayloadBytes, '?'));
  ASSERT_OK(read(**reader, payload_offset('b', 1000), 1000));
  EXPECT_EQ((*reader)->take_left_out(), "0");
  EXPECT_EQ((*reader)->take_left_out(), std::nullopt);
  ASSERT_OK((*reader)->finish());
  EXPECT_LT(count_, uint64_t{200} << 10);
}

TEST_F(CheckedReaderTest, part_of_a_storage_left_out_is_checked_before_it_is_handed_out) {
  const uint64_t payload = payload_offset('a', kPayloadBytes);
  auto reader = open({.storages = StorageChoice(std::unordered_set<std::string>{"1"})});
  ASSERT_OK(reader);
  ASSERT_OK(read(**reader, payload, 10));
  EXPECT_EQ(as_text(target_), std::string(10, 'a'));
  EXPECT_EQ((*reader)->take_left_out(), std::nullopt);
  image_[payload + kPayloadBytes - 1] ^= std::byte{1};
  reader = open({.storages = StorageChoice(std::unordered_set<std::string>{"1"})});
  ASSERT_OK(reader);
  EXPECT_THAT(read(**reader, payload, 10), IsStatus(StatusCode::corruption, HasSubstr("data/0")));
}

TEST_F(CheckedReaderTest, header_of_a_storage_left_out_is_made_of_the_directory) {
  image_[header_offset()] ^= std::byte{1};  // which nobody notices, as it is not read
  auto reader = open({.storages = StorageChoice(std::unordered_set<std::string>{"1"})});
  ASSERT_OK(reader);
  const uint64_t opening_bytes = count_;
  EXPECT_EQ(shown_payload(**reader), payload_offset('a', kPayloadBytes));
  ASSERT_OK(read(**reader, header_offset() + 30, 14));
  EXPECT_EQ(as_text(target_), "archive/data/0");
  ASSERT_OK(read(**reader, payload_offset('a', kPayloadBytes), kPayloadBytes));
  EXPECT_EQ((*reader)->take_left_out(), "0");
  EXPECT_EQ(count_, opening_bytes);
}

TEST_F(CheckedReaderTest, storage_left_out_that_is_shown_elsewhere_is_read_where_it_lies) {
  drop_descriptor();
  for (const bool is_checking : {true, false}) {
    auto reader = open({.storages = StorageChoice(std::unordered_set<std::string>{"1"}),
                        .is_checking = is_checking});
    ASSERT_OK(reader);
    const uint64_t payload = shown_payload(**reader);
    EXPECT_EQ(payload, payload_offset('a', kPayloadBytes) + 16);
    ASSERT_OK(read(**reader, payload, kPayloadBytes));
    EXPECT_EQ((*reader)->take_left_out(), "0");
    ASSERT_OK(read(**reader, payload + kPayloadBytes - 10, 10));
    EXPECT_EQ(as_text(target_), std::string(10, 'a'));
  }
  auto whole = open();
  ASSERT_OK(whole);
  EXPECT_EQ(shown_payload(**whole), payload_offset('a', kPayloadBytes));
}

TEST(StandInHeader, of_a_record_with_much_room_is_the_shortest) {
  ZipIndex index;
  index.root = "x";
  const ArchiveRecord record{.name = "data/0",
                             .header_offset = 100,
                             .limit_offset = 100'000,
                             .stored_bytes = 50,
                             .size_bytes = 50};
  const uint64_t payload = assumed_payload(index, record);
  EXPECT_EQ(payload, 100 + 30 + std::string("x/data/0").size());
  const ByteVector header = stand_in_header(index, record, payload);
  EXPECT_EQ(header.size(), payload - record.header_offset);
  EXPECT_EQ(load_little_endian<uint16_t>(header, 28), 0);
}

TEST_F(CheckedReaderTest, without_checking_damage_is_handed_out) {
  const uint64_t payload = payload_offset('a', kPayloadBytes);
  image_[payload] = std::byte{'x'};
  auto reader = open({.is_checking = false});
  ASSERT_OK(reader);
  ASSERT_OK(read(**reader, payload, kPayloadBytes));
  EXPECT_EQ(target_.front(), std::byte{'x'});
  EXPECT_OK((*reader)->finish());
}

TEST_F(CheckedReaderTest, interrupt_ends_a_long_read) {
  delay_ = std::chrono::milliseconds(25);  // a piece; longer than the time between two questions
  bool is_interrupted = false;
  auto reader =
      open({.reading = {.thread_count = 1, .is_interrupted = [&] { return is_interrupted; }}});
  ASSERT_OK(reader);
  is_interrupted = true;
  EXPECT_THAT(read(**reader, payload_offset('a', kPayloadBytes), kPayloadBytes),
              IsStatus(StatusCode::interrupted, HasSubstr("interrupted")));
  EXPECT_LT(count_, kPayloadBytes);
}

}  // namespace
}  // namespace tintype
