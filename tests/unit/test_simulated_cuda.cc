// The simulated CUDA, against which everything of GPUs is tested: that it notices each misuse which
// the real one answers with an error at best.
#include <array>

#include "kernels/current_device.h"
#include "tests/support/simulated_cuda.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SimulatedCudaTest : public testing::Test {
 protected:
  SimulatedCudaTest() {
    cuda_.add_device_memory(device_memory_);
    const CurrentDevice current(cuda_, 0);
    stream_ = cuda_.create_stream().value();
    event_ = cuda_.create_event().value();
    EXPECT_OK(cuda_.record(event_, stream_));
  }

  Status copy_to(ByteVector& host) {
    return cuda_.copy(host.data(), device_memory_.data(), host.size(), stream_);
  }

  // A table of the current device, of one piece within the job's memory.
  PieceTable make_table() {
    return make_table({device_memory_.data(), device_memory_.data() + 8, 8, nullptr});
  }

  PieceTable make_table(const CopyPiece& piece) {
    std::byte* const memory = cuda_.allocate_on_device(4096)->data();
    auto* const pieces = reinterpret_cast<CopyPiece*>(memory);
    auto* const first_chunks = reinterpret_cast<uint64_t*>(memory + sizeof(piece));
    *pieces = piece;
    first_chunks[0] = 0;
    first_chunks[1] = 1;
    return {pieces, first_chunks, 1, 1};
  }

  ByteVector memory_ = ByteVector(96);  // what lies behind the device's is written to by mistake
  const MutableBytes device_memory_ = MutableBytes(memory_).first(64);
  ByteVector host_ = ByteVector(64);
  std::array<uint32_t, 1> crcs_{};
  SimulatedCuda cuda_{2, 1};
  CudaApi::Stream stream_ = 0;  // of device 0
  CudaApi::Event event_ = 0;    // of device 0
};

TEST_F(SimulatedCudaTest, legal_calls_break_no_rule) {
  {
    const CurrentDevice current(cuda_, 0);
    ASSERT_OK(copy_to(host_));
    ASSERT_OK(cuda_.launch_gather(make_table(), 1, stream_));
    ASSERT_OK(cuda_.record(event_, stream_));
    {
      const CurrentDevice other(cuda_, 1);  // which may wait for events of the first
      ASSERT_OK(cuda_.make_wait(cuda_.create_stream().value(), event_));
    }
    ASSERT_OK(cuda_.wait(event_));
    cuda_.destroy_event(event_);
    ASSERT_OK(cuda_.synchronize(stream_));
  }
  EXPECT_THAT(cuda_.broken_rules(), IsEmpty());
}

TEST_F(SimulatedCudaTest, calls_on_no_device_are_noted) {
  ASSERT_OK(copy_to(host_));
  EXPECT_TRUE(cuda_.is_capturing(stream_).is_ok());
  ASSERT_OK(cuda_.wait(event_));
  EXPECT_TRUE(cuda_.is_done(event_));
  cuda_.destroy_event(event_);
  EXPECT_TRUE(cuda_.allocate_on_device(1).is_ok());
  EXPECT_THAT(cuda_.broken_rules(),
              ElementsAre("copy on no device", "look at a stream on no device",
                          "wait for an event on no device", "look at an event on no device",
                          "destroy an event on no device", "allocate on the device on no device"));
}

TEST_F(SimulatedCudaTest, calls_on_the_wrong_device_are_noted) {
  {
    const CurrentDevice current(cuda_, 0);
    const PieceTable table = make_table();
    {
      const CurrentDevice other(cuda_, 1);
      ASSERT_OK(copy_to(host_));
      ASSERT_OK(cuda_.make_wait(stream_, event_));
      ASSERT_OK(cuda_.synchronize(stream_));
      ASSERT_OK(cuda_.launch_gather(make_table(), 1, stream_));
      ASSERT_OK(cuda_.launch_crc32(table, crcs_.data(), 1, cuda_.create_stream().value()));
      ASSERT_OK(cuda_.record(event_, cuda_.create_stream().value()));
    }
  }
  EXPECT_THAT(
      cuda_.broken_rules(),
      ElementsAre("copy on a stream of another device", "make a stream wait of another device",
                  "wait for a stream of another device", "launch on a stream of another device",
                  "launch with a table of another device", "record an event of another device"));
}

TEST_F(SimulatedCudaTest, splits_that_a_kernel_could_not_do_are_noted) {
  {
    const CurrentDevice current(cuda_, 0);
    CopyPiece piece{device_memory_.data(), device_memory_.data() + 8, 8, nullptr};
    piece.planes = {.width = 4, .is_rotated = true, .plane_bytes = 10};
    ASSERT_OK(cuda_.launch_gather(make_table(piece), 1, stream_));
    ++piece.source;
    ASSERT_OK(cuda_.launch_gather(make_table(piece), 1, stream_));
    --piece.source;
    piece.planes.plane_bytes = 20;  // the last plane ends behind the memory
    ASSERT_OK(cuda_.launch_gather(make_table(piece), 1, stream_));
  }
  {
    const CurrentDevice current(cuda_, 0);
    ASSERT_OK(cuda_.synchronize(stream_));
  }
  EXPECT_EQ(cuda_.split_bytes(), 24u);
  EXPECT_THAT(cuda_.broken_rules(), ElementsAre("elements are read that are not aligned",
                                                "a kernel writes to memory that is not pinned"));
}

TEST_F(SimulatedCudaTest, a_device_that_is_not_left_is_noted) {
  ASSERT_OK(cuda_.enter(0));
  ASSERT_OK(cuda_.enter(1));
  cuda_.leave();
  EXPECT_THAT(cuda_.broken_rules(), ElementsAre("a thread has not left its device"));
  cuda_.leave();
  EXPECT_THAT(cuda_.broken_rules(), IsEmpty());
  cuda_.leave();
  EXPECT_THAT(cuda_.broken_rules(), ElementsAre("a device is left that was not entered"));
}

TEST_F(SimulatedCudaTest, uses_of_an_event_that_was_destroyed_are_noted) {
  {
    const CurrentDevice current(cuda_, 0);
    cuda_.destroy_event(event_);  // as it may be, before it is done
    ASSERT_OK(cuda_.record(event_, stream_));
    ASSERT_OK(cuda_.make_wait(stream_, event_));
    ASSERT_OK(cuda_.wait(event_));
    EXPECT_TRUE(cuda_.is_done(event_));
    cuda_.destroy_event(event_);
  }
  EXPECT_THAT(
      cuda_.broken_rules(),
      ElementsAre("record an event that was destroyed", "wait for an event that was destroyed",
                  "wait for an event that was destroyed", "look at an event that was destroyed",
                  "destroy an event that was destroyed"));
}

}  // namespace
}  // namespace tintype
