// Saves from a device that does nothing meanwhile, on a simulated CUDA: calls that wait for it look
// for signals and end when their save does, and what is in a slab may change.
#include <atomic>
#include <chrono>
#include <future>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/device/cuda_device.h"
#include "engine/engine.h"
#include "tests/support/guarded_state.h"
#include "tests/support/simulated_cuda.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr uint64_t kExtentBytes = 64 << 10;
constexpr std::chrono::milliseconds kPeriod{1};
constexpr auto kFarTooLong = std::chrono::seconds(30);

// With 1 MiB the caller stages alone, with 8 MiB the crew helps.
class DeviceWaits : public testing::TestWithParam<uint64_t> {
 protected:
  DeviceWaits() : memory_(GetParam()) {
    std::mt19937_64 random(1);
    for (std::byte& byte : memory_) byte = static_cast<std::byte>(random());
    cuda_.add_device_memory(memory_);
    cuda_.add_device_memory(slab_);
    write_text(path_, "old");
  }
  ~DeviceWaits() override {
    engine_.reset();
    EXPECT_THAT(cuda_.broken_rules(), IsEmpty());
  }

  // Of fewer slots than the state needs: somebody has to wait for the device.
  void make_engine(uint64_t stall_timeout_ms) {
    EngineOptions options;
    options.extent_bytes = kExtentBytes;
    options.staging_bytes = 4 * kExtentBytes;
    options.copy_threads = 3;
    options.stall_timeout_ms = stall_timeout_ms;
    engine_ = std::move(Engine::create(std::move(options)).value());
  }

  SaveRequest request() {
    SaveRequest made;
    made.storages.push_back({.address = memory_.data(), .size_bytes = memory_.size(), .device = 0});
    made.devices.push_back({.device = devices_.device(0).value(), .stream = 7, .slab = {}});
    TargetFile file{.path = path_, .object = {}};
    file.object.pickle = ByteVector(100, std::byte{5});
    file.object.storages = {0};
    made.files.push_back(std::move(file));
    return made;
  }

  // Lets the device go on where the call would otherwise never end.
  template <typename Result>
  Result result_of(std::future<Result>& call) {
    const bool is_in_time = call.wait_for(kFarTooLong) == std::future_status::ready;
    EXPECT_TRUE(is_in_time);
    if (!is_in_time) cuda_.hold(false);
    return call.get();
  }

  const TempDir directory_{fast_parent()};
  const std::string path_ = directory_ / "x.pth";
  ByteVector memory_;
  ByteVector slab_ = ByteVector(8 << 20);
  SimulatedCuda cuda_{1, 1};
  CudaDevices devices_{cuda_};
  std::unique_ptr<Engine> engine_;
};
INSTANTIATE_TEST_SUITE_P(Sizes, DeviceWaits, testing::Values(1 << 20, 8 << 20),
                         [](const auto& size) { return std::to_string(size.param >> 20) + "MiB"; });

TEST_P(DeviceWaits, an_interrupt_cancels_the_save_while_the_device_is_waited_for) {
  make_engine(0);
  cuda_.hold(true);
  std::atomic<bool> was_asked = false;
  auto call = std::async(std::launch::async, [&] {
    return engine_->save_async(request(), [&] {
      was_asked = true;
      cuda_.hold(false);  // its memory is given back when the copies are over
      return true;
    });
  });
  EXPECT_THAT(result_of(call).status(), IsStatus(StatusCode::interrupted, HasSubstr("cancelled")));
  EXPECT_TRUE(was_asked);
  EXPECT_EQ(read_text(path_), "old");
  EXPECT_THAT(directory_.names(), testing::ElementsAre("x.pth"));
  ASSERT_OK(*engine_->save_async(request()).value()->wait_durable(std::nullopt));
}

TEST_P(DeviceWaits, a_save_that_is_given_up_holds_nobody_whose_device_hangs) {
  make_engine(200);
  cuda_.hold(true);
  auto call = std::async(std::launch::async, [&] { return engine_->save_async(request()); });
  const auto snapshot = result_of(call).value();
  EXPECT_THAT(*snapshot->wait_durable(std::nullopt),
              IsStatus(StatusCode::io_error, HasSubstr("no progress")));
  EXPECT_EQ(read_text(path_), "old");
  cuda_.hold(false);
  while (engine_->stats().saves_stalled > 0) std::this_thread::sleep_for(kPeriod);
  ASSERT_OK(*engine_->save_async(request()).value()->wait_durable(std::nullopt));
}

TEST_P(DeviceWaits, a_guarded_save_is_not_torn_by_changes_to_what_is_in_its_slab_by_then) {
  make_engine(0);
  std::atomic<bool> is_changed = false;
  WitnessRecord record;
  record.changed = [&] { return std::vector<uint32_t>(is_changed ? 1 : 0, 0u); };
  SaveRequest made = request();
  made.devices[0].slab = slab_;
  made.storages[0].is_lazy = true;
  made.witness = std::make_unique<RecordingWitness>(record);
  cuda_.hold(true);
  const auto snapshot = engine_->save_async(std::move(made)).value();
  ASSERT_OK(engine_->before_mutation());
  is_changed = true;
  cuda_.hold(false);
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
  EXPECT_EQ(record.asked, 1);
}

}  // namespace
}  // namespace tintype
