// Saves of CUDA storages, on a simulated CUDA: what the engine makes of devices, pinned memory and
// slabs.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <future>
#include <random>

#include "engine/device/cuda_device.h"
#include "engine/engine.h"
#include "engine/image_stream.h"
#include "tests/support/guarded_state.h"
#include "tests/support/simulated_cuda.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr StreamHandle kStream = 7;
constexpr uint64_t kExtentBytes = 64 << 10;

class CudaDeviceTest : public testing::Test {
 protected:
  CudaDeviceTest() { cuda_.add_device_memory(slab_); }
  ~CudaDeviceTest() override {
    engine_.reset();
    EXPECT_EQ(cuda_.pinned_regions(), 0u);
    EXPECT_THAT(cuda_.broken_rules(), IsEmpty());
  }

  // Gives each device half of slab_.
  void add_slabs(SaveRequest& made) {
    for (size_t i = 0; i < 2; ++i) {
      made.devices[i].slab = MutableBytes(slab_).subspan(i * (4 << 20), 4 << 20);
    }
  }

  // On devices in turns; every fourth on the host.
  void add_storages(size_t count, uint64_t bytes_max) {
    for (size_t i = 0; i < count; ++i) {
      ByteVector& memory = storages_.emplace_back(random_() % bytes_max + 1);
      fill(memory, i);
      const uint32_t device = i % 4 == 3 ? kHostMemory : static_cast<uint32_t>(i % 4 % 2);
      places_.push_back(device);
      if (device != kHostMemory) cuda_.add_device_memory(memory);
    }
  }

  static void fill(ByteVector& memory, uint64_t seed) {
    std::mt19937_64 random(seed);
    for (std::byte& byte : memory) byte = static_cast<std::byte>(random());
  }

  void make_engine(uint64_t staging_bytes) {
    EngineOptions options;
    options.extent_bytes = kExtentBytes;
    options.staging_bytes = staging_bytes;
    options.copy_threads = 2;
    engine_ = std::move(Engine::create(std::move(options)).value());
  }

  // `is_on_host`: as if all of it lay in host memory.
  SaveRequest request(bool is_on_host = false) {
    SaveRequest made;
    TargetFile file;
    file.path = path_;
    file.object.pickle = ByteVector(100, std::byte{5});
    for (uint32_t i = 0; i < storages_.size(); ++i) {
      made.storages.push_back({.address = storages_[i].data(),
                               .size_bytes = storages_[i].size(),
                               .device = is_on_host ? kHostMemory : places_[i]});
      file.object.storages.push_back(i);
    }
    made.files.push_back(std::move(file));
    if (is_on_host) return made;
    for (int i = 0; i < 2; ++i) {
      made.devices.push_back({.device = devices_.device(i).value(), .stream = kStream});
    }
    return made;
  }

  // Every storage of a device lazy, but for each `eager_each`-th one (0: none).
  SaveRequest guarded_request(size_t eager_each) {
    SaveRequest made = request();
    for (size_t i = 0; i < made.storages.size(); ++i) {
      const bool is_eager = eager_each != 0 && i % eager_each == 0;
      made.storages[i].is_lazy = places_[i] != kHostMemory && !is_eager;
    }
    made.witness = std::make_unique<RecordingWitness>(record_);
    return made;
  }

  std::string expected() {
    const auto stream = ImageStream::open(request(true)).value();
    std::string whole;
    for (auto piece = stream->next(); !piece.empty(); piece = stream->next()) {
      whole += as_text(piece);
    }
    return whole;
  }

  // The job's next kernels, behind whatever the stream waits for.
  void overwrite_on_stream(uint64_t seed, StreamHandle stream = kStream) {
    cuda_.run_on(stream, [this, seed] {
      for (size_t i = 0; i < storages_.size(); ++i) {
        if (places_[i] != kHostMemory) fill(storages_[i], seed + i);
      }
    });
  }

  WitnessRecord record_;
  const TempDir directory_{fast_parent()};
  const std::string path_ = directory_ / "x.pth";
  std::mt19937_64 random_{1};
  std::vector<ByteVector> storages_;
  std::vector<uint32_t> places_;
  ByteVector slab_ = ByteVector(8 << 20);
  SimulatedCuda cuda_{2, 1};
  CudaDevices devices_{cuda_};
  std::unique_ptr<Engine> engine_;
};

TEST_F(CudaDeviceTest, file_holds_the_state_at_the_call_though_the_job_goes_on_at_once) {
  add_storages(40, 900'000);
  for (const uint64_t staging_bytes : {6 * kExtentBytes, 1024 * kExtentBytes}) {
    make_engine(staging_bytes);
    for (uint64_t round = 0; round < 5; ++round) {
      const std::string at_call = expected();
      const auto snapshot = engine_->save_async(request()).value();
      overwrite_on_stream(1000 * round);
      ASSERT_OK(*snapshot->wait_durable(std::nullopt));
      EXPECT_TRUE(read_text(path_) == at_call);
      ASSERT_OK(devices_.device(0).value()->record(kStream).value()->wait());
    }
  }
}

TEST_F(CudaDeviceTest, ten_thousand_small_storages_take_a_few_kernels_and_no_copy_engine) {
  add_storages(10'000, 600);
  make_engine(256 * kExtentBytes);
  const auto snapshot = engine_->save_async(request()).value();
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(path_) == expected());
  EXPECT_EQ(cuda_.copies_by_engine(), 0u);
  EXPECT_LT(cuda_.kernels(), 500u);
}

TEST_F(CudaDeviceTest, pool_is_pinned_for_as_long_as_it_lives) {
  add_storages(4, 100'000);
  make_engine(64 * kExtentBytes);
  EXPECT_EQ(engine_->stats().pinned_bytes, 0u);
  ASSERT_OK(*engine_->save_async(request()).value()->wait_durable(std::nullopt));
  EXPECT_EQ(engine_->stats().pinned_bytes, 64 * kExtentBytes);
  EXPECT_GE(cuda_.pinned_regions(), 1u);
}

TEST_F(CudaDeviceTest, preparing_for_a_device_pins_ahead) {
  make_engine(64 * kExtentBytes);
  ASSERT_OK(engine_->prepare(1 << 20));
  EXPECT_EQ(engine_->stats().pinned_bytes, 0u);
  ASSERT_OK(engine_->prepare(1 << 20, devices_.device(1).value()));
  EXPECT_EQ(engine_->stats().pinned_bytes, 64 * kExtentBytes);
}

TEST_F(CudaDeviceTest, preparing_touches_each_slot_once_and_ends_when_interrupted) {
  make_engine(64 * kExtentBytes);
  Device* const device = devices_.device(0).value();
  EXPECT_THAT(engine_->prepare(1 << 20, device, false, [] { return true; }),
              IsStatus(StatusCode::interrupted, HasSubstr("some of the memory is prepared")));
  EXPECT_EQ(engine_->stats().pinned_bytes, 0u);
  uint64_t asked = 0;  // by one of the threads that touch slots
  ASSERT_OK(engine_->prepare(1 << 20, device, false, [&] { return ++asked == 0; }));
  EXPECT_LE(asked, 64u + 2);  // and around the region that is pinned
  EXPECT_EQ(engine_->stats().pinned_bytes, 64 * kExtentBytes);
}

TEST_F(CudaDeviceTest, a_save_is_interrupted_while_it_pins_a_large_pool) {
  add_storages(4, 100'000);
  make_engine(512 << 20);
  EXPECT_THAT(engine_->save_async(request(), [] { return true; }).status(),
              IsStatus(StatusCode::interrupted, HasSubstr("the old file stands")));
  EXPECT_EQ(engine_->stats().pinned_bytes, 0u);
  ASSERT_OK(*engine_->save_async(request()).value()->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(path_) == expected());
}

TEST_F(CudaDeviceTest, saves_are_right_where_pinning_is_refused) {
  cuda_.refuse_pinning(true);
  add_storages(20, 900'000);
  make_engine(64 * kExtentBytes);
  for (int i = 0; i < 2; ++i) {
    ASSERT_OK(*engine_->save_async(request()).value()->wait_durable(std::nullopt));
    EXPECT_TRUE(read_text(path_) == expected());
  }
  EXPECT_EQ(engine_->stats().pinned_bytes, 0u);
}

TEST_F(CudaDeviceTest, slab_lets_the_job_go_on_before_anything_left_the_device) {
  add_storages(12, 200'000);
  make_engine(1024 * kExtentBytes);
  const std::string at_call = expected();
  SaveRequest made = request();
  add_slabs(made);
  cuda_.hold(true);
  const auto snapshot = engine_->save_async(std::move(made)).value();  // returns all the same
  overwrite_on_stream(77);
  EXPECT_FALSE(snapshot->wait_durable(std::chrono::milliseconds(20)).has_value());
  cuda_.hold(false);
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(path_) == at_call);
}

TEST_F(CudaDeviceTest, slab_needs_no_slot_for_the_call_to_return_beside_host_storages) {
  add_storages(12, 200'000);
  make_engine(6 * kExtentBytes);
  const std::string at_call = expected();
  SaveRequest made = request();
  add_slabs(made);
  cuda_.hold(true);
  auto call = std::async(std::launch::async, [&] { return engine_->save_async(std::move(made)); });
  const bool is_in_time = call.wait_for(std::chrono::seconds(10)) == std::future_status::ready;
  EXPECT_TRUE(is_in_time);
  if (!is_in_time) cuda_.hold(false);  // or it would never return
  const auto snapshot = call.get().value();
  for (size_t i = 0; i < storages_.size(); ++i) {
    if (places_[i] == kHostMemory) fill(storages_[i], 500 + i);
  }
  overwrite_on_stream(77);
  cuda_.hold(false);
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(path_) == at_call);
}

TEST_F(CudaDeviceTest, large_host_storages_beside_a_slab_are_in_slots_when_the_call_returns) {
  add_storages(12, 200'000);
  ByteVector& large = storages_.emplace_back(17 << 20);
  places_.push_back(kHostMemory);
  fill(large, 1);
  make_engine(64 * kExtentBytes);
  const std::string at_call = expected();
  SaveRequest made = request();
  add_slabs(made);
  const auto snapshot = engine_->save_async(std::move(made)).value();
  EXPECT_GT(snapshot->report().stage_ns, 0u);  // all was issued by the caller
  fill(large, 2);
  overwrite_on_stream(77);
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(path_) == at_call);
}

TEST_F(CudaDeviceTest, guarded_save_returns_at_once_and_any_stream_can_be_made_to_wait_for_it) {
  add_storages(24, 900'000);
  make_engine(1024 * kExtentBytes);
  constexpr StreamHandle kSide = 9;
  const std::string at_call = expected();
  cuda_.hold(true);
  const auto snapshot = engine_->save_async(guarded_request(0)).value();
  std::vector<DeviceStream> streams;
  for (int i = 0; i < 2; ++i) streams.push_back({devices_.device(i).value(), kSide});
  ASSERT_OK(engine_->before_mutation({}, streams));
  EXPECT_EQ(record_.asked, 1) << "before anything may change";
  overwrite_on_stream(123, kSide);
  EXPECT_FALSE(snapshot->wait_durable(std::chrono::milliseconds(20)).has_value());
  cuda_.hold(false);
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(path_) == at_call);
  EXPECT_EQ(record_.asked, 1);
}

TEST_F(CudaDeviceTest, early_memory_is_pinned_only_for_copies_from_devices_and_asked_once) {
  add_storages(8, 100'000);
  make_engine(64 * kExtentBytes);
  ASSERT_OK(*engine_->save_async(guarded_request(0)).value()->wait_durable(std::nullopt));
  const uint64_t pinnings = cuda_.pinnings_asked();  // of the pool; host storages alone are eager
  EXPECT_EQ(cuda_.pinned_regions(), pinnings);
  ASSERT_OK(*engine_->save_async(guarded_request(3)).value()->wait_durable(std::nullopt));
  EXPECT_EQ(cuda_.pinnings_asked(), pinnings + 1);

  make_engine(64 * kExtentBytes);
  cuda_.refuse_pinning(true);
  const uint64_t before = cuda_.pinnings_asked();
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK(*engine_->save_async(guarded_request(3)).value()->wait_durable(std::nullopt));
    EXPECT_TRUE(read_text(path_) == expected());
  }
  EXPECT_EQ(cuda_.pinnings_asked(), before + 2);  // for the pool, and for the early memory
}

TEST_F(CudaDeviceTest, a_large_eager_storage_leaves_the_device_in_pieces) {
  fill(storages_.emplace_back(20 << 20), 1);
  places_.push_back(0);
  cuda_.add_device_memory(storages_.front());
  add_storages(4, 100'000);  // lazy ones, so that the save is guarded
  make_engine(64 * kExtentBytes);
  SaveRequest made = guarded_request(0);
  made.storages.front().is_lazy = false;
  ASSERT_OK(*engine_->save_async(std::move(made)).value()->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(path_) == expected());
  EXPECT_EQ(cuda_.longest_copy_bytes(), 8u << 20);
}

TEST_F(CudaDeviceTest, a_slab_that_is_too_small_hides_nothing_of_a_guarded_save) {
  add_storages(16, 400'000);
  make_engine(6 * kExtentBytes);
  for (const uint64_t slab_bytes : {1000u, 4u << 20}) {
    SaveRequest made = guarded_request(0);
    for (size_t i = 0; i < 2; ++i) {
      made.devices[i].slab = MutableBytes(slab_).subspan(i * (4 << 20), slab_bytes);
    }
    const auto snapshot = engine_->save_async(std::move(made)).value();
    ASSERT_OK(engine_->before_mutation());
    ASSERT_OK(*snapshot->wait_durable(std::nullopt));
    const SnapshotReport report = snapshot->report();
    ASSERT_GT(report.lazy_bytes, 6 * kExtentBytes);
    // At the first save nothing is measured: the prediction is what is sure to be hidden.
    EXPECT_EQ(report.hidden_bytes_predicted,
              slab_bytes == 1000 ? 6 * kExtentBytes : report.lazy_bytes);
  }
}

TEST_F(CudaDeviceTest, guarded_saves_with_lazy_and_eager_storages_hold_the_state_at_the_call) {
  add_storages(40, 400'000);
  make_engine(12 * kExtentBytes);
  for (uint64_t round = 1; round < 8; ++round) {
    const std::string at_call = expected();
    const auto snapshot = engine_->save_async(guarded_request(3)).value();
    ASSERT_OK(engine_->before_mutation());
    overwrite_on_stream(1000 * round);
    ASSERT_OK(*snapshot->wait_durable(std::nullopt));
    EXPECT_TRUE(read_text(path_) == at_call);
    ASSERT_OK(devices_.device(0).value()->record(kStream).value()->wait());
  }
}

TEST_F(CudaDeviceTest, saving_within_a_graph_capture_is_refused_and_leaves_nothing) {
  add_storages(4, 1000);
  make_engine(64 * kExtentBytes);
  cuda_.set_capturing(kStream, true);
  const auto snapshot = engine_->save_async(request()).value();
  EXPECT_THAT(*snapshot->wait_durable(std::nullopt),
              IsStatus(StatusCode::unsupported, HasSubstr("graph is being captured")));
  EXPECT_THAT(directory_.names(), IsEmpty());
  cuda_.set_capturing(kStream, false);
}

TEST_F(CudaDeviceTest, whatever_call_to_cuda_fails_the_save_says_so_and_the_engine_goes_on) {
  add_storages(12, 400'000);
  make_engine(64 * kExtentBytes);
  ASSERT_OK(*engine_->save_async(request()).value()->wait_durable(std::nullopt));
  const std::string before = read_text(path_);
  for (uint64_t call = 1; call < 60; call += 7) {
    cuda_.fail_call(call);
    const auto snapshot = engine_->save_async(request()).value();
    const Status status = *snapshot->wait_durable(std::nullopt);
    ASSERT_TRUE(cuda_.has_failed()) << call;
    EXPECT_THAT(status, IsStatus(StatusCode::io_error, HasSubstr("simulated: ")));
    EXPECT_TRUE(read_text(path_) == before);
    cuda_.fail_call(0);
    ASSERT_OK(*engine_->save_async(request()).value()->wait_durable(std::nullopt));
  }
}

TEST_F(CudaDeviceTest, a_device_without_kernels_in_the_build_is_refused_for_good) {
  cuda_.lack_kernels();
  for (int i = 0; i < 3; ++i) {
    EXPECT_THAT(devices_.device(0).status(),
                IsStatus(StatusCode::unsupported, HasSubstr("no code for this device")));
  }
  EXPECT_EQ(cuda_.kernel_loads(), 1u);
}

TEST_F(CudaDeviceTest, image_stream_reads_from_devices) {
  add_storages(9, 300'000);
  const auto stream = ImageStream::open(request()).value();
  std::string whole;
  for (auto piece = stream->next(); !piece.empty(); piece = stream->next()) whole += as_text(piece);
  ASSERT_OK(stream->status());
  EXPECT_TRUE(whole == expected());
}

TEST(CudaRuntime, without_a_driver_the_reason_is_named_and_nothing_else_happens) {
  if (::access("/dev/nvidiactl", F_OK) == 0) GTEST_SKIP() << "this machine has a driver";
  const Status status = cuda_device(0).status();
  EXPECT_THAT(status, IsStatus(StatusCode::unsupported,
                               HasSubstr(is_built_with_cuda() ? "there is no CUDA driver"
                                                              : "no CUDA part")));
  EXPECT_EQ(cuda_device(0).status().message(), status.message());  // asking again is no other case
}

}  // namespace
}  // namespace tintype
