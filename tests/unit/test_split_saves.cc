// Compressed saves through slabs of devices that sort elements into planes, on a simulated CUDA:
// beside the same saves from host memory.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "engine/device/cuda_device.h"
#include "engine/engine.h"
#include "engine/image_stream.h"
#include "tests/support/codec_data.h"
#include "tests/support/compressed_file.h"
#include "tests/support/guarded_state.h"
#include "tests/support/simulated_cuda.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using testing::IsEmpty;

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kExtentBytes = kMiB;
constexpr uint64_t kSlabBytes = 32 * kMiB;
constexpr StreamHandle kStream = 7;

struct Stored {
  ByteVector memory;
  uint32_t device = kHostMemory;
  uint32_t element_bytes = 1;
  bool is_floating = false;
};

class SplitSavesTest : public testing::Test {
 protected:
  SplitSavesTest() {
    cuda_.add_device_memory(slab_);
    EngineOptions options;
    options.extent_bytes = kExtentBytes;
    options.staging_bytes = 16 * kExtentBytes;
    options.copy_threads = 2;
    options.encode_threads = 2;
    engine_ = std::move(Engine::create(std::move(options)).value());
  }
  ~SplitSavesTest() override {
    engine_.reset();
    EXPECT_THAT(cuda_.broken_rules(), IsEmpty());
  }

  void add(Content content, uint64_t size_bytes, uint32_t device = 0) {
    const uint32_t width = element_bytes_of(content);
    auto memory = content_bytes(content, size_bytes, static_cast<uint32_t>(random_()));
    storages_.push_back({std::move(memory), device, width, is_floating(content)});
    if (device != kHostMemory) cuda_.add_device_memory(storages_.back().memory);
  }

  // Kinds, sizes and places in any mixture; some broken off within an element.
  void add_random(size_t count) {
    for (size_t i = 0; i < count; ++i) {
      const auto content = static_cast<Content>(random_() % 6);
      const uint64_t longest = random_() % 3 == 0 ? 2 * kMiB : 50'000;
      uint64_t size_bytes = 1 + random_() % longest;
      if (random_() % 8 != 0) size_bytes = align_up(size_bytes, element_bytes_of(content));
      const std::array<uint32_t, 4> places = {0, 0, 1, kHostMemory};
      add(content, size_bytes, places[random_() % places.size()]);
    }
  }

  SaveRequest host_request(const std::string& path, TargetForm form) {
    SaveRequest made;
    TargetFile file{.path = path, .object = {}, .alignment = alignment_, .form = form};
    file.object.pickle = ByteVector(100, std::byte{5});
    for (uint32_t i = 0; i < storages_.size(); ++i) {
      made.storages.push_back({.address = storages_[i].memory.data(),
                               .size_bytes = storages_[i].memory.size(),
                               .element_bytes = storages_[i].element_bytes,
                               .is_floating = storages_[i].is_floating});
      file.object.storages.push_back(i);
    }
    made.files.push_back(std::move(file));
    return made;
  }

  SaveRequest device_request(const std::string& path, TargetForm form) {
    SaveRequest made = host_request(path, form);
    for (int i = 0; i < 2; ++i) {
      made.devices.push_back({.device = devices_.device(i).value(),
                              .stream = kStream,
                              .slab = MutableBytes(slab_).subspan(i * kSlabBytes, kSlabBytes)});
    }
    for (uint32_t i = 0; i < storages_.size(); ++i) {
      made.storages[i].device = storages_[i].device;
    }
    return made;
  }

  void save(SaveRequest request) {
    ASSERT_OK(*engine_->save_async(std::move(request)).value()->wait_durable(std::nullopt));
  }

  // That both ways of saving give the same file.
  void expect_same_bytes() {
    save(host_request(directory_ / "host", kPlanes));
    save(device_request(directory_ / "device", kPlanes));
    EXPECT_TRUE(read_text(directory_ / "device") == read_text(directory_ / "host"));
  }

  uint64_t storage_bytes() const {
    uint64_t total = 0;
    for (const Stored& storage : storages_) total += storage.memory.size();
    return total;
  }

  static constexpr TargetForm kPlanes{.form = FileForm::planes};
  const TempDir directory_{fast_parent()};
  std::mt19937_64 random_{1};
  uint64_t alignment_ = 64;
  std::vector<Stored> storages_;
  std::vector<Stored> earlier_;
  ByteVector slab_ = ByteVector(2 * kSlabBytes);
  SimulatedCuda cuda_{2, 1};
  CudaDevices devices_{cuda_};
  std::unique_ptr<Engine> engine_;
};

TEST_F(SplitSavesTest, nearly_all_of_large_tensors_arrives_split) {
  for (const Content content : {Content::weights_fp32, Content::weights_bf16,
                                Content::counters_int64, Content::weights_fp32}) {
    add(content, 3 * kMiB + 4096);
  }
  expect_same_bytes();
  EXPECT_GT(cuda_.split_bytes(), storage_bytes() * 98 / 100);
  EXPECT_LT(read_text(directory_ / "device").size(), storage_bytes() * 3 / 4);
}

TEST_F(SplitSavesTest, small_tensors_arrive_split_with_the_headers_between_them) {
  for (int i = 0; i < 400; ++i) add(Content::weights_fp32, 4 * (1 + random_() % 5000));
  for (int i = 0; i < 100; ++i) {  // AdamW's steps lie on the host
    add(Content::weights_bf16, 2 * (1 + random_() % 30'000));
    add(Content::weights_fp32, 4, kHostMemory);
  }
  expect_same_bytes();
  EXPECT_GT(cuda_.split_bytes(), storage_bytes() / 2);
}

TEST_F(SplitSavesTest, what_would_not_shrink_is_stored_as_from_the_host) {
  add(Content::random, 3 * kMiB);
  storages_.back().element_bytes = 8;
  add(Content::zeros, 3 * kMiB);
  storages_.back().element_bytes = 4;
  add(Content::random, kMiB);
  storages_.back().element_bytes = 2;
  expect_same_bytes();
  EXPECT_GT(cuda_.split_bytes(), 6 * kMiB);
}

TEST_F(SplitSavesTest, whatever_the_tensors_the_file_has_the_bytes_of_one_from_the_host) {
  const bool is_full = std::getenv("TINTYPE_FULL") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  for (int round = 0; round < (is_full ? 100 : 4); ++round) {
    SCOPED_TRACE(round);
    std::ranges::move(storages_, std::back_inserter(earlier_));  // the device still knows them
    storages_.clear();
    alignment_ = round % 3 == 0 ? 1 + random_() % 100 : 64;
    add_random(1 + random_() % 60);
    expect_same_bytes();
  }
  EXPECT_GT(cuda_.split_bytes(), 0u);
}

TEST_F(SplitSavesTest, both_files_of_a_snapshot_are_those_from_the_host) {
  add_random(40);
  for (const bool is_on_device : {false, true}) {
    const std::string name = is_on_device ? "device" : "host";
    const auto request_of = [&](const std::string& path) {
      return is_on_device ? device_request(path, kPlanes) : host_request(path, kPlanes);
    };
    SaveRequest made = request_of(directory_ / (name + "_full"));
    TargetFile light = request_of(directory_ / (name + "_light")).files[0];
    std::erase_if(light.object.storages, [](uint32_t storage) { return storage % 3 == 0; });
    made.files.push_back(std::move(light));
    save(std::move(made));
  }
  for (const char* which : {"_full", "_light"}) {
    EXPECT_TRUE(read_text(directory_ / (std::string("device") + which)) ==
                read_text(directory_ / (std::string("host") + which)));
  }
  EXPECT_GT(cuda_.split_bytes(), 0u);
}

TEST_F(SplitSavesTest, an_adaptive_save_decodes_to_the_plain_file_coded_or_not) {
  add(Content::weights_fp32, 9 * kMiB);
  add(Content::weights_bf16, 300'000, kHostMemory);
  const TargetForm adaptive{.form = FileForm::planes, .is_adaptive = true};
  save(device_request(directory_ / "device", adaptive));
  save(host_request(directory_ / "plain", {}));
  ByteVector encoded;
  append_text(encoded, read_text(directory_ / "device"));
  const auto decoded = decompressed_file(FileForm::planes, encoded);
  ASSERT_OK(decoded);
  EXPECT_TRUE(as_text(*decoded) == read_text(directory_ / "plain"));
  EXPECT_GT(cuda_.split_bytes(), 8 * kMiB);
}

TEST_F(SplitSavesTest, a_guarded_save_compares_what_is_not_in_a_slab) {
  add(Content::weights_fp32, 2 * kMiB);
  add(Content::weights_fp32, 2 * kMiB, kHostMemory);
  add(Content::weights_fp32, 2 * kMiB);
  save(host_request(directory_ / "host", kPlanes));
  WitnessRecord record;
  SaveRequest made = device_request(directory_ / "device", kPlanes);
  for (SourceStorage& storage : made.storages) storage.is_lazy = true;
  made.witness = std::make_unique<RecordingWitness>(record);
  save(std::move(made));
  EXPECT_TRUE(read_text(directory_ / "device") == read_text(directory_ / "host"));
  EXPECT_GT(cuda_.split_bytes(), 2 * kMiB);
}

TEST_F(SplitSavesTest, nothing_is_split_without_a_slab_or_in_another_form) {
  add(Content::weights_fp32, 2 * kMiB);
  save(device_request(directory_ / "x.zst", {.form = FileForm::zstd}));
  save(device_request(directory_ / "plain", {}));
  SaveRequest without_slab = device_request(directory_ / "device", kPlanes);
  for (SourceDevice& device : without_slab.devices) device.slab = {};
  save(std::move(without_slab));
  EXPECT_EQ(cuda_.split_bytes(), 0u);
  expect_same_bytes();
  EXPECT_GT(cuda_.split_bytes(), 0u);
}

TEST_F(SplitSavesTest, memory_that_cannot_be_pinned_gets_its_extents_plain) {
  cuda_.refuse_pinning(true);
  add(Content::weights_fp32, 2 * kMiB);
  expect_same_bytes();
  EXPECT_EQ(cuda_.split_bytes(), 0u);
}

}  // namespace
}  // namespace tintype
