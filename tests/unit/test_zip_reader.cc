#include <algorithm>
#include <random>
#include <string>

#include <fmt/format.h>

#include "base/check.h"
#include "io/archive/zip_reader.h"
#include "tests/support/small_archive.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing_support::archive_of;

Result<ZipIndex> index_of(ByteView bytes, const ReadLimits& limits = {}) {
  return read_zip_index(MemorySource(bytes, "x.pth"), limits);
}

const std::vector<testing_support::NamedPayload> kRecords = {
    {"data.pkl", "pickle"}, {"data/0", std::string(1000, 'a')}, {"data/1", ""}, {"version", "3\n"}};

size_t entry_offset(const ByteVector& bytes) { return as_text(bytes).rfind("PK\x01\x02"); }

template <typename Integer>
void put(ByteVector& bytes, size_t offset, Integer value) {
  std::memcpy(bytes.data() + offset, &value, sizeof(value));
}

TEST(ZipReader, records_are_found_where_the_writer_put_them) {
  const ByteVector bytes = archive_of(kRecords);
  const MemorySource source(bytes);
  const auto index = read_zip_index(source);
  ASSERT_OK(index);
  EXPECT_EQ(index->root, "archive");
  EXPECT_EQ(index->start_offset, 0u);
  EXPECT_EQ(index->end_offset, bytes.size());
  ASSERT_EQ(index->records.size(), kRecords.size());
  for (size_t i = 0; i < kRecords.size(); ++i) {
    const ArchiveRecord& record = index->records[i];
    EXPECT_EQ(record.name, kRecords[i].name);
    const auto payload = locate_payload(source, *index, record);
    ASSERT_OK(payload);
    EXPECT_EQ(*payload % 64, 0u);
    EXPECT_EQ(as_text(ByteView(bytes).subspan(*payload, record.size_bytes)), kRecords[i].payload);
    EXPECT_OK(check_descriptor(source, record, *payload));
    EXPECT_EQ(index->find(record.name), &record);
  }
  EXPECT_EQ(index->find("data/2"), nullptr);
}

size_t local_header(const ByteVector& bytes, const std::string& name) {
  return as_text(bytes).find("archive/" + name) - 30;
}

size_t directory_entry(const ByteVector& bytes, const std::string& name) {
  return as_text(bytes).rfind("archive/" + name) - 46;
}

// As other writers have it: CRC and sizes stand in the local header.
ByteVector without_descriptor(ByteVector bytes, const std::string& name) {
  const size_t local = local_header(bytes, name);
  const size_t entry = directory_entry(bytes, name);
  for (const size_t flags : {local + 6, entry + 8}) {
    put(bytes, flags, static_cast<uint16_t>(load_little_endian<uint16_t>(bytes, flags) & ~8u));
  }
  std::copy_n(bytes.begin() + static_cast<ptrdiff_t>(entry) + 16, 12,
              bytes.begin() + static_cast<ptrdiff_t>(local) + 14);
  return bytes;
}

Status locate(const ByteVector& bytes, const std::string& name) {
  const MemorySource source(bytes, "x.pth");
  TINTYPE_ASSIGN_OR_RETURN(const ZipIndex index, read_zip_index(source));
  return locate_payload(source, index, *index.find(name)).status();
}

TEST(ZipReader, without_descriptor_the_local_header_has_the_directorys_crc_and_sizes) {
  const ByteVector sound = without_descriptor(archive_of(kRecords), "data/0");
  EXPECT_OK(locate(sound, "data/0"));
  for (const size_t field : {14u, 18u, 22u}) {
    ByteVector damaged = sound;
    damaged[local_header(damaged, "data/0") + field] ^= std::byte{1};
    EXPECT_THAT(locate(damaged, "data/0"),
                IsStatus(StatusCode::corruption, HasSubstr("another CRC or size")));
  }
}

// Moves the sizes of data/0 into a zip64 extra, behind `front`, in what was padding.
ByteVector with_wide_sizes(const ByteVector& front) {
  ByteVector bytes = without_descriptor(archive_of(kRecords), "data/0");
  const size_t local = local_header(bytes, "data/0");
  const size_t extra = local + 30 + load_little_endian<uint16_t>(bytes, local + 26);
  const size_t extra_bytes = load_little_endian<uint16_t>(bytes, local + 28);
  ByteVector fields = front;
  append_little_endian<uint16_t>(fields, 1);
  append_little_endian<uint16_t>(fields, 16);
  append_little_endian<uint64_t>(fields, 1000);
  append_little_endian<uint64_t>(fields, 1000);
  TINTYPE_CHECK(fields.size() + 4 <= extra_bytes);
  append_text(fields, "FB");
  append_little_endian(fields, static_cast<uint16_t>(extra_bytes - fields.size() - 2));
  std::copy(fields.begin(), fields.end(), bytes.begin() + static_cast<ptrdiff_t>(extra));
  put<uint32_t>(bytes, local + 18, UINT32_MAX);
  put<uint32_t>(bytes, local + 22, UINT32_MAX);
  return bytes;
}

TEST(ZipReader, sizes_of_64_bits_stand_in_one_extra) {
  EXPECT_OK(locate(with_wide_sizes({}), "data/0"));
  const ByteVector empty_one = {std::byte{1}, {}, {}, {}};
  EXPECT_THAT(locate(with_wide_sizes(empty_one), "data/0"),
              IsStatus(StatusCode::corruption, HasSubstr("another CRC or size")));
}

TEST(ZipReader, an_archive_behind_other_bytes_is_found) {
  ByteVector bytes;
  append_text(bytes, "front");
  append_bytes(bytes, archive_of(kRecords));
  bytes.resize(bytes.size() + 100);
  const auto index = index_of(bytes);
  ASSERT_OK(index);
  EXPECT_EQ(index->start_offset, 5u);
  EXPECT_EQ(index->records.front().header_offset, 5u);
  EXPECT_THAT(index->notes,
              ElementsAre(HasSubstr("5 bytes stand before"), HasSubstr("100 zero bytes")));
}

TEST(ZipReader, every_truncation_is_corruption) {
  const ByteVector bytes = archive_of(kRecords);
  for (size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_THAT(index_of(ByteView(bytes).first(length)),
                IsStatus(StatusCode::corruption, testing::Not("")));
  }
}

TEST(ZipReader, hostile_directories_are_corruption) {
  const ByteVector sound = archive_of(kRecords);
  const size_t entry = entry_offset(sound);
  struct Case {
    size_t offset;
    uint32_t value;
    const char* text;
  };
  // The last entry is "version": offsets of its fields, two bytes each.
  const Case cases[] = {{8, 0x0802, "flags"},        {10, 12, "method"}, {28, 60000, "beyond"},
                        {30, 60000, "beyond"},       {34, 1, "disk"},    {38, 0x10, "directory"},
                        {20, 3, "two sizes differ"}, {42, 64, "follows"}};
  for (const Case& hostile : cases) {
    ByteVector bytes = sound;
    put(bytes, entry + hostile.offset, static_cast<uint16_t>(hostile.value));
    EXPECT_THAT(index_of(bytes), IsStatus(StatusCode::corruption, HasSubstr(hostile.text)));
  }
  ByteVector bytes = sound;
  put(bytes, entry + 24, UINT32_MAX);
  EXPECT_THAT(index_of(bytes), IsStatus(StatusCode::corruption, HasSubstr("64-bit sizes")));
}

TEST(ZipReader, records_of_another_kind_are_unsupported_where_both_headers_say_so) {
  struct Case {
    size_t local_offset;
    size_t entry_offset;
    uint16_t value;
    const char* text;
  };
  const Case cases[] = {{6, 8, 0x0809, "it is encrypted"},
                        {6, 8, 0x080A, "its flags 0x080a"},
                        {8, 10, 12, "its compression method 12"}};
  for (const Case& foreign : cases) {
    ByteVector bytes = archive_of(kRecords);
    put(bytes, directory_entry(bytes, "version") + foreign.entry_offset, foreign.value);
    EXPECT_THAT(index_of(bytes), IsStatus(StatusCode::corruption, HasSubstr(foreign.text)));
    put(bytes, local_header(bytes, "version") + foreign.local_offset, foreign.value);
    EXPECT_THAT(index_of(bytes), IsStatus(StatusCode::unsupported, HasSubstr(foreign.text)));
  }
}

TEST(ZipReader, hostile_names_are_corruption) {
  for (const char* name : {"../x", "a/../../x", "a\\b", "a\x1b[0m", "DATA.PKL"}) {
    auto records = kRecords;
    records.push_back({name, "x"});
    const ByteVector bytes = archive_of(records);
    EXPECT_THAT(index_of(bytes), IsStatus(StatusCode::corruption, HasSubstr("name")));
  }
}

// `root` in place of "archive", everywhere.
ByteVector with_root(std::string_view root) {
  ByteVector bytes = archive_of(kRecords);
  TINTYPE_CHECK(root.size() == std::string_view("archive").size());
  for (size_t at = 0; (at = as_text(bytes).find("archive/", at)) != std::string_view::npos; ++at) {
    std::memcpy(bytes.data() + at, root.data(), root.size());
  }
  return bytes;
}

TEST(ZipReader, a_root_is_whatever_torch_names_it_after_its_file) {
  using namespace std::string_view_literals;
  for (const std::string_view root : {"new\nrow"sv, "\x1b[31mab"sv, "a\tb\x7f   "sv, "......."sv}) {
    const auto index = index_of(with_root(root));
    ASSERT_OK(index);
    EXPECT_EQ(index->root, root);
    EXPECT_NE(index->find("data.pkl"), nullptr);
  }
  for (const std::string_view root : {"/bin/ls"sv, "win\\dow"sv, "nul\0nul"sv, "any/../"sv}) {
    EXPECT_THAT(index_of(with_root(root)), IsStatus(StatusCode::corruption, HasSubstr("its name")));
  }
}

TEST(ZipReader, end_records_that_contradict_each_other_are_corruption) {
  const ByteVector sound = archive_of(kRecords);
  const size_t end = sound.size() - 22;
  const size_t zip64 = end - 76;
  for (const auto& [offset, value] :
       std::vector<std::pair<size_t, uint64_t>>{{zip64 + 24, 1ull << 62},
                                                {zip64 + 32, 5},
                                                {zip64 + 40, 1ull << 63},
                                                {zip64 + 48, ~0ull},
                                                {zip64 + 4, 1ull << 60},
                                                {zip64 + 16, 1},
                                                {zip64 + 56 + 8, 3}}) {
    ByteVector bytes = sound;
    put(bytes, offset, value);
    EXPECT_THAT(index_of(bytes), IsStatus(StatusCode::corruption, HasSubstr("'x.pth'"))) << offset;
  }
}

TEST(ZipReader, limits_hold) {
  const ByteVector bytes = archive_of(kRecords);
  ReadLimits limits;
  limits.record_count = 3;
  EXPECT_THAT(index_of(bytes, limits), IsStatus(StatusCode::unsupported, HasSubstr("4 records")));
  limits = {};
  limits.directory_bytes = 100;
  EXPECT_THAT(index_of(bytes, limits), IsStatus(StatusCode::unsupported, HasSubstr("directory")));
}

TEST(ZipReader, a_local_header_that_differs_is_corruption) {
  const ByteVector sound = archive_of(kRecords);
  struct Case {
    size_t offset;
    uint16_t value;
  };
  for (const Case& change :
       {Case{0, 0}, Case{6, 0x0800}, Case{8, 8}, Case{26, 3}, Case{28, 65000}, Case{30, 0x4141}}) {
    ByteVector bytes = sound;
    put(bytes, change.offset, change.value);
    const MemorySource source(bytes, "x.pth");
    const auto index = read_zip_index(source);
    ASSERT_OK(index);
    EXPECT_THAT(locate_payload(source, *index, index->records[0]),
                IsStatus(StatusCode::corruption, HasSubstr("record 'data.pkl' (byte 0): ")));
  }
}

TEST(ZipReader, files_of_other_kinds_are_told_apart) {
  struct Case {
    std::string content;
    StatusCode code;
    const char* text;
  };
  const Case cases[] = {
      {"", StatusCode::corruption, "empty"},
      {"PK\x03\x04 and then nothing more", StatusCode::corruption, "cut off"},
      {std::string(1000, 'x'), StatusCode::corruption, "no checkpoint"},
      {"\x80\x02\x8a\nl\xfc\x9c\x46\xf9 j\xa8P\x19.\x80", StatusCode::unsupported, "before 1.6"},
      {"\x80\x04N.", StatusCode::unsupported, "bare pickle"},
      {"\x1f\x8b\x08", StatusCode::unsupported, "gzip"},
      {std::string(257, 'a') + "ustar", StatusCode::unsupported, "tar file"},
  };
  for (const Case& kind : cases) {
    EXPECT_THAT(index_of(as_bytes(kind.content)), IsStatus(kind.code, HasSubstr(kind.text)));
  }
}

// Every flip is refused, or leaves names, places and CRCs as they were.
TEST(ZipReader, random_changes_never_break_it) {
  const ByteVector sound = archive_of(kRecords);
  const size_t directory = as_text(sound).find("PK\x01\x02");
  std::mt19937 random(3);
  size_t refused_count = 0;
  constexpr size_t kRuns = 50'000;
  for (size_t run = 0; run < kRuns; ++run) {
    ByteVector bytes = sound;
    for (size_t change = random() % 4; change < 4; ++change) {
      bytes[directory + random() % (bytes.size() - directory)] = static_cast<std::byte>(random());
    }
    const MemorySource source(bytes);
    const auto index = read_zip_index(source);
    if (!index.is_ok()) {
      ++refused_count;
      continue;
    }
    for (const ArchiveRecord& record : index->records) {
      const auto payload = locate_payload(source, *index, record);
      if (payload.is_ok()) {
        EXPECT_LE(*payload + record.stored_bytes, record.limit_offset);
      }
    }
  }
  fmt::print("random changes: {}, refused {}\n", kRuns, refused_count);
  EXPECT_GT(refused_count, kRuns / 2);
}

}  // namespace
}  // namespace tintype
