// Compressed files as the readers see them: any place of the image, whole archives, and damage.
#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/element_runs.h"
#include "engine/image_stream.h"
#include "engine/restore/archive.h"
#include "engine/restore/checked_reader.h"
#include "engine/restore/compressed_source.h"
#include "engine/restore/image.h"
#include "engine/restore/parallel_read.h"
#include "engine/restore/verify.h"
#include "tests/support/child_process.h"
#include "tests/support/codec_data.h"
#include "tests/support/compressed_file.h"
#include "tests/support/small_archive.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using namespace testing_support;

constexpr uint64_t kExtentBytes = 64u << 10;
constexpr int64_t kWeights = 500'000;  // float32: 31 extents

// Bytes in memory; counts how many were asked for.
class CountingFile final : public ByteSource {
 public:
  CountingFile(ByteView bytes, std::atomic<uint64_t>* count, bool is_serial = false)
      : bytes_(bytes, "x.pth.ttz"), count_(count), is_serial_(is_serial) {}

  uint64_t size_bytes() const override { return bytes_.size_bytes(); }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    *count_ += target.size();
    if (is_serial_) TINTYPE_CHECK(std::this_thread::get_id() == reader_);
    return bytes_.read_at(target, offset);
  }
  const std::string& name() const override { return bytes_.name(); }
  bool is_serial() const override { return is_serial_; }

 private:
  MemorySource bytes_;
  std::atomic<uint64_t>* count_;
  bool is_serial_;
  std::thread::id reader_ = std::this_thread::get_id();
};

class CompressedSourceTest : public testing::TestWithParam<FileForm> {
 protected:
  CompressedSourceTest() {
    const auto tensor = [](const char* key, const char* storage, int64_t count) {
      return SmallTensor{key, storage, count, 0, {count}, {1}};
    };
    const std::string weights(
        as_text(content_bytes(Content::weights_fp32, kWeights * sizeof(float), 1)));
    plain_ = archive_of({{"data.pkl", pickle_of({tensor("a", "0", kWeights), tensor("b", "1", 100),
                                                 tensor("c", "2", 50'000)})},
                         {"byteorder", "little"},
                         {"data/0", weights},
                         {"data/1", counting_floats(100)},
                         {"data/2", counting_floats(50'000)},
                         {"version", "3\n"}});
    const auto archive = Archive::open({std::make_unique<MemorySource>(plain_)}).value();
    elements_ = element_map(*archive);
    file_ = compressed_file(GetParam(), plain_, elements_, kExtentBytes);
  }

  std::unique_ptr<CompressedSource> open(bool is_serial = false) {
    count_ = 0;
    return CompressedSource::open(std::make_unique<CountingFile>(file_, &count_, is_serial),
                                  GetParam(), {})
        .value();
  }
  std::string put(ByteView bytes, const std::string& name = "x") {
    const std::string path = directory_ / name;
    write_text(path, std::string(as_text(bytes)));
    return path;
  }
  IndexedExtent extent(size_t i) {
    return read_frame_index(MemorySource(file_), GetParam()).value().extents[i];
  }
  // The middle of an extent's payload.
  void damage(size_t i) {
    file_[extent(i).file_offset + extent(i).payload_bytes / 2] ^= std::byte{4};
  }

  TempDir directory_;
  ByteVector plain_;
  ElementMap elements_;
  ByteVector file_;
  std::atomic<uint64_t> count_{0};
};
INSTANTIATE_TEST_SUITE_P(Forms, CompressedSourceTest,
                         testing::Values(FileForm::zstd, FileForm::planes),
                         [](const auto& form) { return std::string(to_string(form.param)); });

// The threads that decode ahead are the parent's, and wait with locks and conditions of the child's
// copy of the memory.
TEST_P(CompressedSourceTest, forked_child_may_drop_it_but_not_read_it) {
  for (int round = 0; round < 10; ++round) {
    auto source = open();
    ByteVector bytes(1000);
    for (uint64_t i = 0; i < 4; ++i) ASSERT_OK(source->read_at(bytes, i * kExtentBytes));
    EXPECT_TRUE(passes_in_child([&] {
      ::alarm(60);
      EXPECT_THAT(source->read_at(bytes, 0),
                  IsStatus(StatusCode::invalid_argument, HasSubstr("opened by the parent")));
      source.reset();
    }));
    ASSERT_OK(source->read_at(bytes, 5 * kExtentBytes));
  }
}

TEST_P(CompressedSourceTest, any_place_reads_as_in_the_plain_image) {
  const auto source = open();
  ASSERT_EQ(source->size_bytes(), plain_.size());
  const auto read_some = [&](uint32_t seed) {
    std::mt19937 random(seed);
    for (int i = 0; i < 100; ++i) {
      const size_t offset = random() % plain_.size();
      const size_t longest = random() % 2 == 0 ? 1000 : 4 * kExtentBytes;
      ByteVector target(std::min<size_t>(random() % longest, plain_.size() - offset));
      const auto crc = source->read_with_crc(target, offset);
      ASSERT_OK(crc);
      EXPECT_EQ(*crc, crc32(0, target));
      EXPECT_TRUE(std::equal(target.begin(), target.end(),
                             plain_.begin() + static_cast<ptrdiff_t>(offset)));
    }
  };
  std::vector<std::thread> threads;
  for (uint32_t seed = 0; seed < 4; ++seed) threads.emplace_back([&, seed] { read_some(seed); });
  for (std::thread& thread : threads) thread.join();
}

TEST_P(CompressedSourceTest, reading_front_to_back_decodes_each_extent_once) {
  const auto source = open();
  const uint64_t tables_bytes = count_;
  ByteVector target(plain_.size());
  for (size_t offset = 0; offset < plain_.size(); offset += 1000) {
    const size_t size = std::min<size_t>(1000, plain_.size() - offset);
    ASSERT_OK(source->read_at(MutableBytes(target).subspan(offset, size), offset));
  }
  EXPECT_EQ(target, plain_);
  EXPECT_EQ(source->decoded_count(), source->frames().extents.size());
  EXPECT_LE(count_ - tables_bytes, file_.size());
}

TEST_P(CompressedSourceTest, a_large_read_goes_past_the_cache) {
  const auto source = open();
  const uint64_t tables_bytes = count_;
  ByteVector target(plain_.size() - 1000);
  for (const uint32_t thread_count : {1u, 2u, 8u}) {
    const auto crc = read_in_parallel(*source, 1000, target, {.thread_count = thread_count});
    ASSERT_OK(crc);
    EXPECT_EQ(*crc, crc32(0, ByteView(plain_).subspan(1000)));
    EXPECT_TRUE(std::equal(target.begin(), target.end(), plain_.begin() + 1000));
  }
  EXPECT_LE(count_ - tables_bytes, 3 * file_.size());
}

TEST_P(CompressedSourceTest, one_tensor_is_read_without_decoding_the_rest) {
  Image image = image_of(std::make_unique<CountingFile>(file_, &count_)).value();
  const CompressedSource& source = *image.compressed;
  const auto archive = Archive::open(std::move(image)).value();
  EXPECT_EQ(archive->form(), GetParam());
  EXPECT_EQ(archive->file_bytes(), file_.size());
  EXPECT_EQ(archive->size_bytes(), plain_.size());
  const auto values = archive->read_tensor(*archive->find_tensor("model/b"));
  ASSERT_OK(values);
  EXPECT_EQ(as_text(*values), counting_floats(100));
  EXPECT_LE(source.decoded_count(), 3u);  // the pickle, the tensor, the directory
}

TEST(SourceMemory, is_bounded_whatever_the_size_of_extents) {
  constexpr uint64_t kMiB = 1u << 20;
  for (const uint32_t processors : {1u, 2u, 8u, 64u}) {
    for (const uint64_t plain_bytes : {uint64_t{1}, kMiB / 16, 8 * kMiB, 20 * kMiB, 64 * kMiB}) {
      for (const uint64_t encoded_bytes : {uint64_t{4096}, encoded_limit_bytes(plain_bytes)}) {
        const SourceMemory memory = share_memory(plain_bytes, encoded_bytes, processors);
        EXPECT_GE(memory.decoder_count, 2u);
        EXPECT_GE(memory.place_count, 2u);
        EXPECT_LE(memory.ahead_count, memory.place_count - 2);
        EXPECT_LE(memory.decoder_count * encoded_bytes + memory.place_count * plain_bytes,
                  264 * kMiB);
      }
    }
    const SourceMemory usual = share_memory(8 * kMiB, encoded_bound_bytes(8 * kMiB), processors);
    EXPECT_EQ(usual.ahead_count, std::min(processors, 8u));
    EXPECT_GE(usual.decoder_count, 16u);
  }
}

TEST_P(CompressedSourceTest, a_serial_file_is_read_by_one_thread) {
  const auto source = open(true);
  EXPECT_TRUE(source->is_serial());
  ByteVector target(100);
  for (size_t offset = 0; offset < plain_.size() - 100; offset += 20'000) {
    ASSERT_OK(source->read_at(target, offset));
  }
  const auto damaged = source->find_damaged_extents({});
  ASSERT_OK(damaged);
  EXPECT_THAT(*damaged, IsEmpty());
}

TEST_P(CompressedSourceTest, a_checked_reader_hands_out_the_plain_image) {
  const std::string path = put(file_);
  for (const Access access : {Access::random, Access::one_pass}) {
    Image image = open_image(posix_file_system(), path, access).value();
    const auto reader = CheckedReader::open(std::move(image.source), {}).value();
    ByteVector target(plain_.size());
    ASSERT_OK(reader->read(target, 0));
    EXPECT_EQ(target, plain_);
    EXPECT_OK(reader->finish());
  }
}

TEST_P(CompressedSourceTest, verify_counts_the_extents_of_a_sound_file) {
  const auto report = verify(posix_file_system(), put(file_));
  ASSERT_OK(report);
  EXPECT_TRUE(report->is_ok()) << report->status().to_string();
  EXPECT_EQ(report->form, GetParam());
  EXPECT_EQ(report->file_bytes, file_.size());
  EXPECT_EQ(report->size_bytes, plain_.size());
  EXPECT_EQ(report->extent_count, divide_up(plain_.size(), kExtentBytes));
  EXPECT_EQ(report->record_count, 6u);
}

TEST_P(CompressedSourceTest, verify_names_damaged_extents_and_what_they_cost) {
  damage(5);
  damage(31);
  const auto report = verify(posix_file_system(), put(file_));
  ASSERT_OK(report);
  ASSERT_EQ(report->problems.size(), 2u);
  EXPECT_EQ(report->problems[0].extent, 5u);
  EXPECT_EQ(report->problems[0].offset, extent(5).file_offset);
  EXPECT_THAT(report->problems[0].text, HasSubstr("extent 5 is damaged"));
  EXPECT_THAT(report->problems[0].text, Not(HasSubstr("copy or download")));
  EXPECT_THAT(report->status().to_string(),
              EndsWith("; copy or download it again, or load an older "
                       "checkpoint"));
  EXPECT_THAT(report->problems[0].tensors, ElementsAre("model/a"));
  EXPECT_EQ(report->problems[1].extent, 31u);
  EXPECT_THAT(report->problems[1].tensors, Contains("model/c"));
  EXPECT_EQ(report->extent_count, divide_up(plain_.size(), kExtentBytes) - 2);
  EXPECT_THAT(report->status().to_string(), HasSubstr("it costs the tensor model/a"));
}

TEST_P(CompressedSourceTest, verify_judges_a_file_whose_directory_is_lost) {
  const size_t last = divide_up(plain_.size(), kExtentBytes) - 1;
  damage(last);
  const auto report = verify(posix_file_system(), put(file_));
  ASSERT_OK(report);
  ASSERT_EQ(report->problems.size(), 1u);
  EXPECT_EQ(report->problems[0].extent, last);
  const auto cut_off = verify(posix_file_system(), put(ByteView(file_).first(file_.size() - 9)));
  if (GetParam() == FileForm::planes) {
    ASSERT_OK(cut_off);
    ASSERT_EQ(cut_off->problems.size(), 1u);
    EXPECT_THAT(cut_off->problems[0].text, HasSubstr("cut off"));
  }
}

TEST_P(CompressedSourceTest, damage_reaches_the_reader_as_corruption) {
  damage(5);
  const auto archive = Archive::open(posix_file_system(), put(file_)).value();
  const auto lost = archive->read_tensor(*archive->find_tensor("model/a"));
  EXPECT_THAT(lost, IsStatus(StatusCode::corruption, HasSubstr("extent 5 is damaged")));
  EXPECT_THAT(lost.status().to_string(), EndsWith("; copy or download it again, or load an older "
                                                  "checkpoint"));
  EXPECT_OK(archive->read_tensor(*archive->find_tensor("model/b")));
  EXPECT_OK(archive->read_tensor(*archive->find_tensor("model/c")));
}

TEST_P(CompressedSourceTest, bytes_of_the_file_are_shared_out_in_proportion) {
  const auto source = open();
  const FrameIndex& frames = source->frames();
  uint64_t encoded_bytes = 0;
  for (const IndexedExtent& extent : frames.extents) encoded_bytes += extent.encoded_bytes;
  EXPECT_EQ(frames.encoded_bytes_of(0, frames.plain_bytes), encoded_bytes);
  const uint64_t half = kExtentBytes / 2;
  EXPECT_EQ(frames.encoded_bytes_of(half, half), frames.extents[0].encoded_bytes / 2);
}

// Where the whole of the image stands before the cut, it may be read: a `.zst` without its table,
// and without the last padding too.
TEST_P(CompressedSourceTest, no_truncation_of_a_small_file_reads_as_something_else) {
  const ByteVector small = archive_of({{"data.pkl", pickle_of({{"a", "0", 9, 0, {9}, {1}}})},
                                       {"byteorder", "little"},
                                       {"data/0", counting_floats(9)},
                                       {"version", "3\n"}});
  const ByteVector file = compressed_file(GetParam(), small, {}, 512);
  size_t read_count = 0;
  for (size_t size = 0; size < file.size(); ++size) {
    auto image = image_of(std::make_unique<MemorySource>(ByteView(file).first(size)));
    const auto archive = image.is_ok() ? Archive::open(std::move(*image))
                                       : Result<std::unique_ptr<Archive>>(image.status());
    if (archive.is_ok()) {
      ++read_count;
      const auto values = (*archive)->read_tensor(*(*archive)->find_tensor("model/a"));
      ASSERT_OK(values);
      EXPECT_EQ(as_text(*values), counting_floats(9));
    } else {
      EXPECT_EQ(archive.status().code(), StatusCode::corruption) << size;
    }
  }
  EXPECT_LE(read_count, GetParam() == FileForm::zstd ? 2 : 0);
}

// --- which elements an image has ---

SaveRequest two_storages(ByteView memory) {
  SaveRequest request;
  request.storages.push_back(
      {.address = memory.data(), .size_bytes = 400'000, .element_bytes = 4, .is_floating = true});
  request.storages.push_back(
      {.address = memory.data(), .size_bytes = 300, .element_bytes = 4, .is_floating = true});
  TargetFile file;
  append_text(file.object.pickle,
              pickle_of({{"a", "0", 100'000, 0, {100'000}, {1}}, {"b", "1", 75, 0, {75}, {1}}}));
  file.object.storages = {0, 1};
  request.files.push_back(std::move(file));
  return request;
}

TEST(ElementRuns, of_a_plan_and_of_its_file_are_the_same) {
  const ByteVector memory(400'000);
  const SaveRequest request = two_storages(memory);
  const SavePlan plan = plan_save(request, 1u << 20).value();
  const ElementMap planned = element_map(plan.images[0], request.storages);

  ByteVector plain;
  const auto stream = ImageStream::open(two_storages(memory)).value();
  for (auto piece = stream->next(); !piece.empty(); piece = stream->next()) {
    append_bytes(plain, piece);
  }
  const auto archive = Archive::open({std::make_unique<MemorySource>(plain)}).value();
  const ElementMap found = element_map(*archive);

  const auto planned_runs = planned.runs_in(0, plain.size());
  const auto found_runs = found.runs_in(0, plain.size());
  ASSERT_EQ(planned_runs.size(), 2u);
  ASSERT_EQ(found_runs.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(planned_runs[i].offset_bytes, found_runs[i].offset_bytes);
    EXPECT_EQ(planned_runs[i].size_bytes, request.storages[i].size_bytes);
    EXPECT_EQ(found_runs[i].size_bytes, request.storages[i].size_bytes);
    EXPECT_EQ(planned_runs[i].element_bytes, 4u);
    EXPECT_EQ(found_runs[i].element_bytes, 4u);
    EXPECT_TRUE(planned_runs[i].is_floating);
    EXPECT_TRUE(found_runs[i].is_floating);
  }
}

}  // namespace
}  // namespace tintype
