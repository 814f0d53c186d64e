// Copies from devices, on the simulated one: that it notes every order that is not legal, and what
// a single save and an in-memory stream make of it.
#include <algorithm>
#include <array>
#include <thread>

#include "engine/engine.h"
#include "engine/image_stream.h"
#include "tests/support/simulated_device.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr size_t kBytes = 40'000;

class SimulatedDeviceTest : public testing::Test {
 protected:
  SimulatedDeviceTest() { device_.add_region(memory_); }
  ~SimulatedDeviceTest() override { device_.synchronize(); }

  CopyPiece whole() { return {memory_.data(), target_.data(), kBytes, nullptr}; }

  void launch(std::byte value) {
    device_.launch(0, memory_.data(),
                   [this, value] { std::fill(memory_.begin(), memory_.end(), value); });
  }

  SaveRequest request(const std::string& path, uint32_t device) {
    SaveRequest made;
    made.storages.push_back(
        {.address = memory_.data(), .size_bytes = memory_.size(), .device = device});
    if (device != kHostMemory) made.devices.push_back({.device = &device_});
    TargetFile file;
    file.path = path;
    file.object.pickle = ByteVector(50);
    file.object.storages = {0};
    made.files.push_back(std::move(file));
    return made;
  }

  static std::string image(ImageStream& stream) {
    std::string whole;
    for (auto piece = stream.next(); !piece.empty(); piece = stream.next()) {
      whole += as_text(piece);
    }
    return whole;
  }

  std::string host_image() { return image(*ImageStream::open(request("x", kHostMemory)).value()); }

  ByteVector memory_ = ByteVector(kBytes, std::byte{1});
  ByteVector target_ = ByteVector(kBytes);
  ByteVector slab_ = ByteVector(2 * kBytes);
  SimulatedDevice device_{"sim:0", 1};
};

TEST_F(SimulatedDeviceTest, legal_copy_reads_what_the_stream_had_written) {
  launch(std::byte{2});
  const auto start = device_.record(0).value();
  uint32_t crc = 0;
  CopyPiece piece = whole();
  piece.crc = &crc;
  const auto copied = device_.copy(std::array{piece}, start).value();
  ASSERT_OK(device_.make_wait(0, copied));
  launch(std::byte{3});
  ASSERT_OK(copied->wait());
  EXPECT_EQ(target_, ByteVector(kBytes, std::byte{2}));
  EXPECT_NE(crc, 0u);
  EXPECT_THAT(device_.broken_rules(), IsEmpty());
}

TEST_F(SimulatedDeviceTest, copy_without_a_point_to_start_from_is_noted) {
  ASSERT_OK(device_.copy(std::array{whole()}, nullptr).value()->wait());
  EXPECT_THAT(device_.broken_rules(), ElementsAre(HasSubstr("no point to start from")));
}

TEST_F(SimulatedDeviceTest, change_that_did_not_wait_for_the_copy_is_noted) {
  for (int i = 0; i < 50; ++i) {
    const auto copied = device_.copy(std::array{whole()}, device_.record(0).value()).value();
    launch(std::byte{4});
    ASSERT_OK(copied->wait());
  }
  EXPECT_THAT(device_.broken_rules(), Contains(HasSubstr("after a change that had to wait")));
}

TEST_F(SimulatedDeviceTest, memory_that_is_used_while_a_copy_is_in_flight_is_noted) {
  const auto start = device_.record(0).value();
  const auto first = device_.copy(std::array{whole()}, start).value();
  const auto second = device_.copy(std::array{whole()}, start).value();
  ASSERT_OK(second->wait());
  EXPECT_THAT(device_.broken_rules(), ElementsAre(HasSubstr("is used again")));
  EXPECT_TRUE(first->is_done());
  EXPECT_FALSE(device_.is_in_use(target_));
}

TEST_F(SimulatedDeviceTest, image_stream_of_a_device_is_that_of_host_memory) {
  const std::string expected = host_image();
  const auto stream = ImageStream::open(request("x", 0)).value();
  EXPECT_TRUE(image(*stream) == expected);
  EXPECT_OK(stream->status());
}

TEST_F(SimulatedDeviceTest, image_stream_ends_with_the_error_of_its_device) {
  device_.set_failure_percent(100);
  const auto stream = ImageStream::open(request("x", 0)).value();
  EXPECT_EQ(image(*stream), "");
  EXPECT_THAT(stream->status(), IsStatus(StatusCode::io_error, HasSubstr("sim:0")));
}

TEST_F(SimulatedDeviceTest, failed_copy_fails_the_save_and_names_the_device) {
  const TempDir directory(fast_parent());
  auto engine = std::move(Engine::create({}).value());
  device_.set_failure_percent(100);
  const auto snapshot = engine->save_async(request(directory / "x.pth", 0)).value();
  EXPECT_THAT(*snapshot->wait_durable(std::nullopt),
              IsStatus(StatusCode::io_error, HasSubstr("sim:0")));
  EXPECT_THAT(directory.names(), IsEmpty());
}

TEST_F(SimulatedDeviceTest, save_through_a_slab_neither_waits_for_the_stream_nor_holds_it) {
  const TempDir directory(fast_parent());
  auto engine = std::move(Engine::create({}).value());
  const std::string at_call = host_image();
  SaveRequest made = request(directory / "x.pth", 0);
  made.devices[0].slab = slab_;
  const auto snapshot = engine->save_async(std::move(made)).value();
  launch(std::byte{9});
  ASSERT_OK(*snapshot->wait_durable(std::nullopt));
  EXPECT_TRUE(read_text(directory / "x.pth") == at_call);
  EXPECT_THAT(device_.broken_rules(), IsEmpty());
}

}  // namespace
}  // namespace tintype
