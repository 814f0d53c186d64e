// Archive and verify over files on disk.
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <string>

#include "engine/restore/archive.h"
#include "engine/restore/verify.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/fault_injector.h"
#include "tests/support/small_archive.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using namespace testing_support;

const std::vector<SmallTensor> kTensors = {
    {.key = "a", .storage_key = "0", .storage_count = 6, .shape = {2, 3}, .stride = {3, 1}},
    {.key = "t", .storage_key = "0", .storage_count = 6, .shape = {3, 2}, .stride = {1, 3}},
    {.key = "tail",
     .storage_key = "0",
     .storage_count = 6,
     .offset = 4,
     .shape = {2},
     .stride = {1}},
    {.key = "wide", .storage_key = "1", .storage_count = 1, .shape = {4}, .stride = {0}},
    {.key = "none", .storage_key = "1", .storage_count = 1, .shape = {0, 5}, .stride = {5, 1}},
};

std::vector<NamedPayload> records_of(const std::vector<SmallTensor>& tensors) {
  return {{"data.pkl", pickle_of(tensors)},
          {"byteorder", "little"},
          {"data/0", counting_floats(6)},
          {"data/1", counting_floats(1)},
          {"version", "3\n"}};
}

std::vector<float> floats(const ByteVector& bytes) {
  std::vector<float> values(bytes.size() / sizeof(float));
  if (!bytes.empty()) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

class Restore : public testing::Test {
 protected:
  std::string put(const ByteVector& bytes) {
    const std::string path = directory_ / "x.pth";
    write_text(path, std::string(as_text(bytes)));
    return path;
  }
  Result<std::unique_ptr<Archive>> open(const ByteVector& bytes) {
    return Archive::open(posix_file_system(), put(bytes));
  }
  Result<VerifyReport> check(const ByteVector& bytes, const VerifyOptions& options = {}) {
    return verify(posix_file_system(), put(bytes), options);
  }

  TempDir directory_;
};

TEST_F(Restore, tensors_are_listed_and_read_row_by_row) {
  const auto archive = open(archive_of(records_of(kTensors)));
  ASSERT_OK(archive);
  ASSERT_EQ((*archive)->tensors().size(), kTensors.size());
  const auto read = [&](const char* name) {
    const TensorEntry* tensor = (*archive)->find_tensor(name);
    TINTYPE_CHECK(tensor != nullptr);
    return floats((*archive)->read_tensor(*tensor).value());
  };
  EXPECT_THAT(read("model/a"), ElementsAre(0, 1, 2, 3, 4, 5));
  EXPECT_THAT(read("model/t"), ElementsAre(0, 3, 1, 4, 2, 5));
  EXPECT_THAT(read("model/tail"), ElementsAre(4, 5));
  EXPECT_THAT(read("model/wide"), ElementsAre(0, 0, 0, 0));
  EXPECT_THAT(read("model/none"), IsEmpty());
  EXPECT_EQ((*archive)->find_tensor("a"), nullptr);
  ASSERT_EQ((*archive)->values().size(), 1u);
  EXPECT_EQ((*archive)->values()[0].name, "epoch");
  EXPECT_EQ((*archive)->values()[0].text, "3");
}

TEST_F(Restore, what_cannot_be_read_is_told_in_words_of_reading) {
  const std::string root = directory_.path();
  ASSERT_EQ(::mkfifo((root + "/pipe").c_str(), 0600), 0);
  ASSERT_EQ(::mkdir((root + "/folder").c_str(), 0700), 0);
  std::filesystem::create_symlink("gone.pth", root + "/dangling");
  std::filesystem::create_symlink("circle", root + "/circle");
  write_text(root + "/file", "");
  struct Case {
    std::string path;
    int error_number;  // 0: unsupported
    std::string text;
  };
  const std::string missing = ": No such file or directory [ENOENT, errno 2]; ";
  for (const Case& c : std::vector<Case>{
           {root + "/x.pth", ENOENT, "read '" + root + "/x.pth'" + missing + "check the spelling"},
           {root + "/a/x.pth", ENOENT,
            "read '" + root + "/a/x.pth'" + missing + "there is no directory '" + root + "/a'"},
           {root + "/dangling", ENOENT, "read '" + root + "/gone.pth'" + missing + "check"},
           {root + "/folder", EISDIR,
            "read '" + root + "/folder': Is a directory [EISDIR, errno 21]; name one of the files"},
           {root + "/folder/", EISDIR, "read '" + root + "/folder/': Is a directory"},
           {root + "/circle", ELOOP, "read '" + root + "/circle'"},
           {root + "/file/x.pth", ENOTDIR, "a part of the path is a file"},
           {root + "/pipe", 0, "read '" + root + "/pipe': it is a device, pipe or socket; copy"},
           {"", 0, "read: the path is empty"}}) {
    const Status status = verify(posix_file_system(), c.path).status();
    EXPECT_EQ(status.error_number(), c.error_number) << c.path;
    EXPECT_THAT(status.to_string(), HasSubstr(c.text));
    EXPECT_THAT(status.to_string(), testing::Not(HasSubstr("save")));
    EXPECT_EQ(Archive::open(posix_file_system(), c.path).status().message(), status.message());
  }
}

TEST_F(Restore, a_tensor_beyond_its_storage_is_corruption) {
  for (const SmallTensor& tensor :
       {SmallTensor{"x", "0", 6, 1, {6}, {1}}, SmallTensor{"x", "0", 6, 0, {3}, {3}},
        SmallTensor{"x", "0", 6, 0, {INT64_MAX}, {INT64_MAX}},
        SmallTensor{"x", "0", 6, 0, {INT64_MAX, INT64_MAX}, {0, 0}},
        SmallTensor{"x", "0", 6, 0, {2}, {1, 1}}, SmallTensor{"x", "0", -1, 0, {1}, {1}},
        SmallTensor{"x", "0", INT64_MAX, 0, {1}, {1}}, SmallTensor{"x", "0", 6, -1, {1}, {1}}}) {
    const ByteVector bytes = archive_of(records_of({tensor}));
    EXPECT_THAT(open(bytes), IsStatus(StatusCode::corruption, HasSubstr("'model/x'")));
    const auto report = check(bytes);
    ASSERT_OK(report);
    EXPECT_FALSE(report->is_ok());
  }
}

// Two or four elements share a byte; where the storage ends counts in bytes.
TEST_F(Restore, packed_tensors_stay_within_their_storage) {
  const auto open_packed = [&](const std::string& storage_class, int64_t offset, int64_t count) {
    const SmallTensor tensor{"q", "0", 10, offset, {count}, {1}, storage_class};
    return open(archive_of(
        {{"data.pkl", pickle_of({tensor})}, {"data/0", "0123456789"}, {"version", "3\n"}}));
  };
  const auto read = [&](const std::string& storage_class, int64_t offset, int64_t count) {
    const auto archive = open_packed(storage_class, offset, count);
    TINTYPE_CHECK(archive.is_ok());
    return (*archive)->read_tensor(*(*archive)->find_tensor("model/q"));
  };
  EXPECT_EQ(as_text(read("QUInt4x2Storage", 0, 20).value()), "0123456789");
  EXPECT_EQ(as_text(read("QUInt4x2Storage", 4, 7).value()), "2345");
  EXPECT_EQ(as_text(read("QUInt2x4Storage", 8, 32).value()), "23456789");
  EXPECT_THAT(read("QUInt4x2Storage", 1, 2),
              IsStatus(StatusCode::unsupported, HasSubstr("shares bytes")));
  const auto beyond = IsStatus(StatusCode::corruption, HasSubstr("beyond its storage"));
  EXPECT_THAT(open_packed("QUInt4x2Storage", 0, 21), beyond);
  EXPECT_THAT(open_packed("QUInt2x4Storage", 8, 33), beyond);
  EXPECT_THAT(open_packed("QUInt4x2Storage", 0, 1 << 20), beyond);
}

TEST_F(Restore, a_sound_file_verifies) {
  const auto report = check(archive_of(records_of(kTensors)));
  ASSERT_OK(report);
  EXPECT_TRUE(report->is_ok()) << report->status().to_string();
  EXPECT_THAT(report->notes, IsEmpty());
  EXPECT_EQ(report->record_count, 5u);
  EXPECT_EQ(report->checked_bytes, pickle_of(kTensors).size() + 6 + 24 + 4 + 2);
}

TEST_F(Restore, every_damaged_record_is_reported_with_its_tensors) {
  const auto records = records_of(kTensors);
  ByteVector bytes = archive_of(records);
  const size_t at = as_text(bytes).find(counting_floats(6));
  bytes[at] ^= std::byte{1};
  const auto report = check(bytes);
  ASSERT_OK(report);
  ASSERT_EQ(report->problems.size(), 1u);
  EXPECT_EQ(report->problems[0].record, "data/0");
  EXPECT_THAT(report->problems[0].tensors, ElementsAre("model/a", "model/t", "model/tail"));
  EXPECT_THAT(report->status().to_string(), HasSubstr("CRC-32"));
  const auto archive = open(bytes);
  ASSERT_OK(archive);
  EXPECT_THAT((*archive)->read_tensor(*(*archive)->find_tensor("model/a")),
              IsStatus(StatusCode::corruption, HasSubstr("data/0")));
  EXPECT_OK((*archive)->read_tensor(*(*archive)->find_tensor("model/wide")));
}

TEST_F(Restore, missing_and_misfitting_storages_are_reported) {
  auto records = records_of(kTensors);
  records[2].payload.resize(20);
  records.erase(records.begin() + 3);
  const auto report = check(archive_of(records));
  ASSERT_OK(report);
  ASSERT_EQ(report->problems.size(), 2u);
  EXPECT_THAT(report->problems[0].text, HasSubstr("20 bytes, the pickle says 24"));
  EXPECT_THAT(report->problems[1].text, HasSubstr("missing"));
  EXPECT_THAT(report->problems[1].tensors, ElementsAre("model/wide", "model/none"));
}

TEST_F(Restore, large_records_are_checked_in_pieces_by_any_number_of_threads) {
  constexpr size_t kBytes = (size_t{20} << 20) + 12;
  std::vector<SmallTensor> tensors = {{"big", "0", kBytes / 4, 0, {kBytes / 4}, {1}}};
  const std::vector<NamedPayload> records = {{"data.pkl", pickle_of(tensors)},
                                             {"data/0", counting_floats(kBytes / 4)},
                                             {"version", "3\n"}};
  ByteVector bytes = archive_of(records);
  for (const uint32_t threads : {1u, 2u, 5u}) {
    const auto report = check(bytes, {.reading = {.thread_count = threads}});
    ASSERT_OK(report);
    EXPECT_TRUE(report->is_ok()) << report->status().to_string();
  }
  bytes[bytes.size() - 4096] ^= std::byte{1};
  const auto report = check(bytes);
  ASSERT_OK(report);
  EXPECT_EQ(report->problems.size(), 1u);
}

TEST_F(Restore, storages_that_are_not_asked_for_are_not_read) {
  ByteVector bytes = archive_of(records_of(kTensors));
  bytes[as_text(bytes).find(counting_floats(6))] ^= std::byte{1};
  VerifyOptions options;
  options.storages = StorageChoice(std::unordered_set<std::string>{"1"});
  const auto report = check(bytes, options);
  ASSERT_OK(report);
  EXPECT_TRUE(report->is_ok());
  EXPECT_EQ(report->record_count, 4u);
}

TEST_F(Restore, an_interrupt_ends_the_check) {
  std::vector<NamedPayload> records = {{"data.pkl", pickle_of({})}, {"version", "3\n"}};
  for (int i = 0; i < 40; ++i)
    records.push_back({"data/" + std::to_string(i), std::string(4 << 20, 'x')});
  VerifyOptions options;
  options.reading.thread_count = 1;
  options.reading.is_interrupted = [] { return true; };
  EXPECT_THAT(check(archive_of(records), options),
              IsStatus(StatusCode::interrupted, HasSubstr("interrupted")));
}

TEST_F(Restore, crcs_of_zero_are_noted_not_compared) {
  const std::string pickle = pickle_of(kTensors);
  ByteVector zeroed = archive_of({{"data.pkl", pickle}, {"version", "3\n"}});
  for (size_t at = as_text(zeroed).find("PK\x01\x02"); at != std::string::npos;
       at = as_text(zeroed).find("PK\x01\x02", at + 4)) {
    std::memset(zeroed.data() + at + 16, 0, 4);
  }
  for (size_t at = as_text(zeroed).find("PK\x07\x08"); at != std::string::npos;
       at = as_text(zeroed).find("PK\x07\x08", at + 4)) {
    std::memset(zeroed.data() + at + 4, 0, 4);
  }
  const auto report = check(zeroed);
  ASSERT_OK(report);
  EXPECT_EQ(report->checked_bytes, 0u);
  ASSERT_FALSE(report->notes.empty());
  EXPECT_THAT(report->notes.back(), HasSubstr("no CRC"));
}

TEST_F(Restore, what_cannot_be_judged_is_a_status) {
  EXPECT_THAT(verify(posix_file_system(), directory_ / "missing.pth"),
              IsStatus(StatusCode::not_found, HasSubstr("ENOENT")));
  EXPECT_THAT(verify(posix_file_system(), directory_.path()),
              IsStatus(StatusCode::io_error, HasSubstr("EISDIR")));
  EXPECT_THAT(check(archive_of({{"constants.pkl", "x"}, {"data.pkl", "x"}, {"version", "3"}})),
              IsStatus(StatusCode::unsupported, HasSubstr("TorchScript")));
  EXPECT_THAT(check(archive_of({{"other", "x"}})),
              IsStatus(StatusCode::unsupported, HasSubstr("data.pkl")));
  EXPECT_THAT(check(archive_of({{"data.pkl", pickle_of({})}, {"version", "11"}})),
              IsStatus(StatusCode::unsupported, HasSubstr("version 11")));
}

TEST_F(Restore, a_file_that_memory_did_not_suffice_for_is_not_called_damaged) {
  const std::string path = put(archive_of(records_of(kTensors)));
  FaultInjector injector;
  FaultFileSystem file_system(posix_file_system(), injector);
  size_t read = 0;
  for (;; ++read) {
    injector.reset();
    injector.fail_named("read_at", ENOMEM, read);
    const auto report = verify(file_system, path);
    if (injector.fired() == 0) break;
    EXPECT_THAT(report, IsStatus(StatusCode::resource_exhausted, HasSubstr("ENOMEM"))) << read;
  }
  EXPECT_GT(read, 5u) << "one for each record";
}

}  // namespace
}  // namespace tintype
