// Reading parts of a compressed checkpoint: what nobody chose is not decoded.
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <unordered_set>

#include "engine/element_runs.h"
#include "engine/restore/archive.h"
#include "engine/restore/checked_reader.h"
#include "engine/restore/compressed_source.h"
#include "engine/restore/image.h"
#include "tests/support/codec_data.h"
#include "tests/support/compressed_file.h"
#include "tests/support/small_archive.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using namespace testing_support;

constexpr uint64_t kExtentBytes = 64u << 10;
constexpr int64_t kWeights = 100'000;  // float32: 6 extents and a bit for each storage
constexpr int kStorages = 5;

// Bytes in memory; counts how many were asked for.
class CountingFile final : public ByteSource {
 public:
  CountingFile(ByteView bytes, std::atomic<uint64_t>& count)
      : bytes_(bytes, "x.pth.ttz"), count_(count) {}

  uint64_t size_bytes() const override { return bytes_.size_bytes(); }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    count_ += target.size();
    return bytes_.read_at(target, offset);
  }
  const std::string& name() const override { return bytes_.name(); }

 private:
  MemorySource bytes_;
  std::atomic<uint64_t>& count_;
};

class LeftOutStoragesTest : public testing::TestWithParam<FileForm> {
 protected:
  LeftOutStoragesTest() {
    std::vector<SmallTensor> tensors;
    std::vector<NamedPayload> records = {{"data.pkl", ""}};
    for (int i = 0; i < kStorages; ++i) {
      const std::string key = std::to_string(i);
      tensors.push_back({"t" + key, key, kWeights, 0, {kWeights}, {1}});
      const ByteVector weights = content_bytes(Content::weights_fp32, kWeights * sizeof(float), 1);
      records.push_back({"data/" + key, std::string(as_text(weights))});
    }
    records.front().payload = pickle_of(tensors);
    records.push_back({"version", "3\n"});
    const ByteVector plain = archive_of(records);
    const auto archive = Archive::open({std::make_unique<MemorySource>(plain)}).value();
    file_ = compressed_file(GetParam(), plain, element_map(*archive), kExtentBytes);
  }

  ByteVector file_;
  std::atomic<uint64_t> count_{0};
};
INSTANTIATE_TEST_SUITE_P(Forms, LeftOutStoragesTest,
                         testing::Values(FileForm::zstd, FileForm::planes),
                         [](const auto& form) { return std::string(to_string(form.param)); });

// Each record as torch does: its header, and by what stands in it its payload.
void read_like_torch(CheckedReader& reader, const ZipIndex& index) {
  for (const ArchiveRecord& record : index.records) {
    ByteVector header(30);
    ASSERT_OK(reader.read(header, record.header_offset));
    const uint64_t payload = record.header_offset + header.size() +
                             load_little_endian<uint16_t>(header, 26) +
                             load_little_endian<uint16_t>(header, 28);
    ByteVector target(record.size_bytes);
    ASSERT_OK(reader.read(target, payload));
  }
  ASSERT_OK(reader.finish());
}

TEST_P(LeftOutStoragesTest, are_not_decoded_and_the_rest_is_decoded_once) {
  Image image = image_of(std::make_unique<CountingFile>(file_, count_)).value();
  const CompressedSource& source = *image.compressed;
  const std::shared_ptr<Archive> archive = Archive::open(std::move(image)).value();
  const std::shared_ptr<const ByteSource> shared(archive, &archive->source());
  for (const char* key : {"none", "3"}) {
    const StorageChoice choice(std::unordered_set<std::string>{key});
    const auto reader = CheckedReader::open(shared, {.storages = choice});
    ASSERT_OK(reader);
    read_like_torch(**reader, archive->index());
  }
  EXPECT_LE(source.decoded_count(), 10u);  // pickle, directory, at most 8 for the storage; of 31
  EXPECT_LE(count_, file_.size() * 11 / 31);
}

TEST_P(LeftOutStoragesTest, are_not_decoded_ahead) {
  const auto source =
      CompressedSource::open(std::make_unique<CountingFile>(file_, count_), GetParam(), {}).value();
  source->expect_only({{100, 3 * kExtentBytes}});
  ByteVector bytes(1000);
  ASSERT_OK(source->read_at(bytes, 0));
  ASSERT_OK(source->read_at(bytes, kExtentBytes));
  for (int i = 0; i < 3000 && source->decoded_count() < 3; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(source->decoded_count(), 3u);  // the third ahead
  ASSERT_OK(source->read_at(bytes, 2 * kExtentBytes));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // for a thread that does too much
  EXPECT_EQ(source->decoded_count(), 3u);
  ASSERT_OK(source->read_at(bytes, 9 * kExtentBytes));  // it was a hint
}

TEST_P(LeftOutStoragesTest, are_not_decoded_when_a_reader_jumps_back_from_the_end) {
  const auto source =
      CompressedSource::open(std::make_unique<CountingFile>(file_, count_), GetParam(), {}).value();
  const uint64_t last = source->frames().extents.size() - 1;
  ByteVector bytes(1000);
  for (const uint64_t extent : {last - 1, last, uint64_t{0}}) {  // the directory, the pickle
    ASSERT_OK(source->read_at(bytes, extent * kExtentBytes));
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // for a thread that does too much
  EXPECT_EQ(source->decoded_count(), 3u);
}

}  // namespace
}  // namespace tintype
