// Gpu on a simulated CUDA: what it copies, in which order, and what it does when CUDA refuses.
#include <algorithm>
#include <array>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include "io/archive/byte_planes.h"
#include "io/archive/crc32.h"
#include "kernels/gpu.h"
#include "tests/support/simulated_cuda.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr size_t kBytes = 6 << 20;
constexpr CudaApi::Stream kStream = 7;

class GpuTest : public testing::Test {
 protected:
  GpuTest() {
    std::mt19937_64 random(3);
    for (std::byte& byte : memory_) byte = static_cast<std::byte>(random());
    cuda_.add_device_memory(memory_);
    cuda_.add_device_memory(slab_);
    EXPECT_OK(gpu_->pin(target_));
  }
  ~GpuTest() override {
    gpu_->unpin(target_);
    EXPECT_THAT(cuda_.broken_rules(), IsEmpty());
  }

  // Pieces of so many bytes, one behind the other on both sides.
  std::vector<CopyPiece> pieces(const std::vector<uint64_t>& sizes, ByteVector& target) {
    crcs_.assign(sizes.size(), 0xBADBAD);
    std::vector<CopyPiece> made;
    uint64_t place = 0;
    for (size_t i = 0; i < sizes.size(); ++i) {
      made.push_back({memory_.data() + place, target.data() + place, sizes[i], &crcs_[i]});
      place += sizes[i];
    }
    return made;
  }

  // The same from the target of earlier ones.
  void expect_arrived(const std::vector<CopyPiece>& pieces) {
    for (const CopyPiece& piece : pieces) {
      EXPECT_TRUE(std::equal(piece.source, piece.source + piece.size_bytes, piece.target));
      if (piece.crc != nullptr) {
        EXPECT_EQ(*piece.crc, crc32(0, {piece.source, piece.size_bytes}));
      }
    }
  }

  void fill_on_stream(std::byte value) {
    cuda_.run_on(kStream, [this, value] { std::fill(memory_.begin(), memory_.end(), value); });
  }

  ByteVector memory_ = ByteVector(kBytes);  // the device's
  ByteVector slab_ = ByteVector(kBytes);    // the device's
  ByteVector target_ = ByteVector(kBytes);
  ByteVector pageable_ = ByteVector(kBytes);
  std::vector<uint32_t> crcs_;
  SimulatedCuda cuda_{2, 1};
  PinnedMemory pinned_{cuda_};
  std::unique_ptr<Gpu> gpu_ = Gpu::open(cuda_, pinned_, 1).value();
};

const std::vector<uint64_t> kMixedSizes = {0,       1,       17,      4096,   300'000, 0,
                                           262'144, 262'145, 2 << 20, 65'536, 65'537};

TEST_F(GpuTest, pieces_of_all_sizes_arrive_with_their_crcs) {
  const auto wanted = pieces(kMixedSizes, target_);
  const auto event = gpu_->copy(wanted, nullptr).value();
  ASSERT_OK(event->wait());
  expect_arrived(wanted);
  EXPECT_EQ(cuda_.copies_by_engine(), 3u);
  EXPECT_EQ(cuda_.kernels(), 2u);
}

TEST_F(GpuTest, crcs_stand_as_soon_as_the_event_says_that_it_is_done) {
  const auto wanted = pieces(kMixedSizes, target_);
  const auto event = gpu_->copy(wanted, nullptr).value();
  while (!event->is_done()) {
  }
  expect_arrived(wanted);
}

TEST_F(GpuTest, a_copy_is_not_done_while_its_kernels_run) {
  cuda_.hold_kernels(true);
  const auto wanted = pieces({2 << 20, 1000}, target_);
  const auto event = gpu_->copy(wanted, nullptr).value();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the copy engine's part ends
  EXPECT_FALSE(event->is_done());
  cuda_.hold_kernels(false);
  ASSERT_OK(event->wait());
  expect_arrived(wanted);
}

TEST_F(GpuTest, copy_reads_what_the_stream_had_written_and_the_stream_waits_for_it) {
  for (int i = 1; i < 60; i += 2) {
    fill_on_stream(std::byte(i));
    const auto start = gpu_->record(kStream).value();
    const auto event = gpu_->copy(pieces(kMixedSizes, target_), start.get()).value();
    ASSERT_OK(gpu_->make_wait(kStream, *event));
    fill_on_stream(std::byte(i + 1));
    ASSERT_OK(event->wait());
    EXPECT_EQ(target_[5], std::byte(i));        // by a kernel
    EXPECT_EQ(target_[600'000], std::byte(i));  // by a copy engine
    EXPECT_EQ(crcs_[8], crc32(0, ByteVector(2 << 20, std::byte(i))));
  }
}

TEST_F(GpuTest, the_last_event_covers_the_copies_before_it) {
  const auto first = gpu_->copy(pieces({2 << 20, 100}, target_), nullptr).value();
  const auto second =
      gpu_->copy(
              std::vector<CopyPiece>{{memory_.data() + (3 << 20), target_.data() + (3 << 20), 8}},
              nullptr)
          .value();
  ASSERT_OK(second->wait());
  EXPECT_TRUE(first->is_over());
}

TEST_F(GpuTest, what_earlier_copies_gave_back_stands_when_a_later_one_is_done) {
  const auto wanted = pieces({64, 300'000, 5}, pageable_);
  const auto first = gpu_->copy(wanted, nullptr).value();
  const CopyPiece later{memory_.data(), target_.data(), 8, nullptr};
  const auto second = gpu_->copy(std::vector<CopyPiece>{later}, nullptr).value();
  while (!second->is_done()) {
  }
  expect_arrived(wanted);
}

TEST_F(GpuTest, small_pieces_come_into_memory_that_is_not_pinned_too) {
  const auto wanted = pieces({64, 64, 100'000, 262'144, 7}, pageable_);
  cuda_.hold(true);  // nothing is waited for
  const auto event = gpu_->copy(wanted, nullptr).value();
  EXPECT_FALSE(event->is_done());
  cuda_.hold(false);
  ASSERT_OK(event->wait());
  expect_arrived(wanted);
  EXPECT_EQ(cuda_.copies_by_engine(), 0u);
}

TEST_F(GpuTest, large_pieces_come_into_memory_that_is_not_pinned_too) {
  const auto wanted = pieces({1 << 20, 5, 3 << 20}, pageable_);
  ASSERT_OK(gpu_->copy(wanted, nullptr).value()->wait());
  expect_arrived(wanted);
}

TEST_F(GpuTest, copies_without_crcs_launch_no_kernel_for_them) {
  auto wanted = pieces({1 << 20, 2 << 20}, target_);
  for (CopyPiece& piece : wanted) piece.crc = nullptr;
  ASSERT_OK(gpu_->copy(wanted, nullptr).value()->wait());
  expect_arrived(wanted);
  EXPECT_EQ(cuda_.kernels(), 0u);
}

TEST_F(GpuTest, an_event_that_is_dropped_leaves_its_copy_alone) {
  cuda_.hold(true);
  static_cast<void>(gpu_->copy(pieces(kMixedSizes, target_), nullptr).value());
  const auto wanted = pieces({1000, 1000, 1000}, target_);
  const auto event = gpu_->copy(wanted, nullptr).value();  // must not take the first one's tables
  cuda_.hold(false);
  ASSERT_OK(event->wait());
  expect_arrived(wanted);
}

TEST_F(GpuTest, launches_reuse_the_memory_of_those_that_are_over) {
  ASSERT_OK(gpu_->copy(pieces(kMixedSizes, target_), nullptr).value()->wait());
  const uint64_t allocations = cuda_.allocations();
  for (int i = 0; i < 50; ++i) {
    ASSERT_OK(gpu_->copy(pieces(kMixedSizes, target_), nullptr).value()->wait());
  }
  EXPECT_EQ(cuda_.allocations(), allocations);
}

TEST_F(GpuTest, a_device_without_room_reads_launches_where_the_host_has_written_them) {
  cuda_.refuse_device_memory(true);
  for (int i = 0; i < 3; ++i) {
    auto wanted = pieces(kMixedSizes, target_);
    ASSERT_OK(gpu_->copy(wanted, nullptr).value()->wait());
    expect_arrived(wanted);
    wanted = pieces({64, 100'000, 7}, pageable_);
    ASSERT_OK(gpu_->copy(wanted, nullptr).value()->wait());
    expect_arrived(wanted);
  }
  EXPECT_EQ(cuda_.tables_on_host(), 12u);
  const uint64_t allocations = cuda_.allocations();
  cuda_.refuse_device_memory(false);
  cuda_.hold(true);  // so that new memory is needed
  std::vector<GpuEventPointer> events;
  for (int i = 0; i < 3; ++i) {
    events.push_back(gpu_->copy(pieces({1000}, target_), nullptr).value());
  }
  cuda_.hold(false);
  for (const auto& event : events) ASSERT_OK(event->wait());
  EXPECT_GT(cuda_.allocations(), allocations);
  EXPECT_EQ(cuda_.tables_on_host(), 18u);  // it is not asked again
}

TEST_F(GpuTest, launches_take_the_devices_memory_for_their_tables_alone_and_a_page_at_least) {
  ASSERT_OK(gpu_->copy(pieces({1000}, target_), nullptr).value()->wait());
  EXPECT_EQ(cuda_.tables_on_host(), 0u);
  EXPECT_EQ(cuda_.allocated_bytes(), 4u * 4096);  // two launches, each with both sides
  const uint64_t before = cuda_.allocated_bytes();
  ASSERT_OK(gpu_->copy(pieces({200'000}, pageable_), nullptr).value()->wait());
  EXPECT_EQ(cuda_.allocated_bytes(), before + (256u << 10) + 4096);
}

TEST_F(GpuTest, pieces_of_any_size_are_sorted_into_planes_with_the_crcs_of_what_they_were) {
  constexpr uint64_t kCount = 300'000;
  std::vector<CopyPiece> wanted = pieces({kCount * 4}, target_);
  wanted[0].planes = {.width = 4, .is_rotated = true, .plane_bytes = kCount};
  ASSERT_TRUE(gpu_->can_split(target_));
  EXPECT_FALSE(gpu_->can_split(pageable_));
  ASSERT_OK(gpu_->copy(wanted, nullptr).value()->wait());
  ByteVector planes(kCount * 4);
  std::array<std::byte*, 4> places = {};
  for (uint32_t b = 0; b < 4; ++b) places[b] = planes.data() + plane_index(0, b, kCount);
  split_planes(ByteView(memory_).first(kCount * 4), true, places);
  EXPECT_TRUE(std::equal(planes.begin(), planes.end(), target_.begin()));
  EXPECT_EQ(crcs_[0], crc32(0, ByteView(memory_).first(kCount * 4)));
  EXPECT_EQ(cuda_.split_bytes(), kCount * 4);
  EXPECT_EQ(cuda_.copies_by_engine(), 0u);
}

TEST_F(GpuTest, gather_is_part_of_the_streams_work) {
  fill_on_stream(std::byte{1});
  ASSERT_OK(gpu_->gather(pieces({100, 70'000, 3}, slab_), kStream));
  fill_on_stream(std::byte{2});
  const auto end = gpu_->record(kStream).value();
  ASSERT_OK(end->wait());
  EXPECT_TRUE(std::all_of(slab_.begin(), slab_.begin() + 70'103,
                          [](std::byte byte) { return byte == std::byte{1}; }));
  EXPECT_EQ(slab_[70'103], std::byte{0});
}

TEST_F(GpuTest, gathers_in_flight_keep_their_tables_apart) {
  cuda_.hold(true);
  const auto wanted = pieces({50'000, 50'000, 50'000}, slab_);
  for (const CopyPiece& piece : wanted) {
    ASSERT_OK(gpu_->gather(std::vector<CopyPiece>{piece}, kStream));
  }
  const auto end = gpu_->record(kStream).value();
  cuda_.hold(false);
  ASSERT_OK(end->wait());
  EXPECT_TRUE(std::equal(slab_.begin(), slab_.begin() + 150'000, memory_.begin()));
}

TEST_F(GpuTest, nothing_is_recorded_while_a_stream_captures) {
  cuda_.set_capturing(kStream, true);
  EXPECT_THAT(gpu_->record(kStream).status(),
              IsStatus(StatusCode::unsupported, HasSubstr("graph is being captured")));
  cuda_.set_capturing(kStream, false);
}

TEST_F(GpuTest, a_stream_that_captures_gets_no_wait_but_the_caller_does) {
  const auto wanted = pieces(kMixedSizes, target_);
  const auto event = gpu_->copy(wanted, nullptr).value();
  cuda_.set_capturing(kStream, true);
  ASSERT_OK(gpu_->make_wait(kStream, *event));
  EXPECT_TRUE(event->is_over());
  cuda_.set_capturing(kStream, false);
}

TEST_F(GpuTest, whatever_call_fails_nothing_is_in_flight_afterwards) {
  ASSERT_OK(gpu_->copy(pieces(kMixedSizes, target_), nullptr).value()->wait());
  int failures = 0;
  for (uint64_t call = 1;; ++call) {
    const auto start = gpu_->record(kStream).value();
    std::fill(target_.begin(), target_.end(), std::byte{0});
    cuda_.fail_call(call);
    const auto event = gpu_->copy(pieces(kMixedSizes, target_), start.get());
    const bool has_failed = cuda_.has_failed();
    cuda_.fail_call(0);
    EXPECT_EQ(event.is_ok(), !has_failed);
    if (!has_failed) {
      ASSERT_OK((*event)->wait());
      break;
    }
    ++failures;
    const ByteVector now = target_;
    std::fill(memory_.begin(), memory_.end(), std::byte{9});  // would be seen if it was still read
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_TRUE(target_ == now) << call;
  }
  EXPECT_GE(failures, 10);
}

TEST_F(GpuTest, an_error_of_the_work_itself_is_the_events) {
  cuda_.hold(true);
  const auto event = gpu_->copy(pieces({100}, target_), nullptr).value();
  cuda_.break_device();
  cuda_.hold(false);
  EXPECT_THAT(event->wait(), IsStatus(StatusCode::io_error, HasSubstr("the device failed")));
  EXPECT_TRUE(event->is_done());
  EXPECT_EQ(crcs_[0], 0u);  // nothing was handed out
}

TEST_F(GpuTest, a_wait_that_fails_is_the_answer_to_earlier_copies_whose_results_it_dropped) {
  const auto first = gpu_->copy(pieces({100}, target_), nullptr).value();
  const auto second = gpu_->copy(std::vector<CopyPiece>{}, nullptr).value();
  cuda_.break_device();
  EXPECT_FALSE(second->wait().is_ok());
  cuda_.break_device(false);
  EXPECT_THAT(first->wait(), IsStatus(StatusCode::io_error, HasSubstr("the device failed")));
  EXPECT_EQ(crcs_[0], 0u);  // nobody may take that for its CRC
  const auto wanted = pieces({100, 70'000}, target_);
  ASSERT_OK(gpu_->copy(wanted, nullptr).value()->wait());
  expect_arrived(wanted);
}

TEST_F(GpuTest, a_wait_that_fails_leaves_alone_what_was_handed_out_before) {
  const auto wanted = pieces({100}, target_);
  const auto first = gpu_->copy(wanted, nullptr).value();
  ASSERT_OK(first->wait());
  cuda_.break_device();
  EXPECT_FALSE(first->wait().is_ok());
  cuda_.break_device(false);
  ASSERT_OK(first->wait());
  expect_arrived(wanted);
}

TEST_F(GpuTest, a_device_that_is_not_there_is_named) {
  EXPECT_THAT(Gpu::open(cuda_, pinned_, 2).status(),
              IsStatus(StatusCode::unsupported, HasSubstr("no cuda:2, but 2 devices")));
  SimulatedCuda none(0, 1);
  PinnedMemory pinned(none);
  EXPECT_THAT(Gpu::open(none, pinned, 0).status(),
              IsStatus(StatusCode::unsupported, HasSubstr("no driver")));
}

TEST_F(GpuTest, a_device_that_the_build_has_no_kernels_for_is_not_opened) {
  EXPECT_EQ(cuda_.kernel_loads(), 1u);  // of the fixture's
  cuda_.lack_kernels();
  EXPECT_THAT(Gpu::open(cuda_, pinned_, 0).status(),
              IsStatus(StatusCode::unsupported, HasSubstr("no code for this device")));
}

TEST_F(GpuTest, pinned_memory_is_known_by_whole_ranges) {
  EXPECT_TRUE(pinned_.contains(target_));
  EXPECT_TRUE(pinned_.contains(ByteView(target_).subspan(100, 0)));
  EXPECT_FALSE(pinned_.contains({target_.data() + 10, target_.size()}));
  EXPECT_FALSE(pinned_.contains(pageable_));
}

TEST_F(GpuTest, refused_pinning_changes_nothing) {
  cuda_.refuse_pinning(true);
  EXPECT_THAT(gpu_->pin(pageable_), IsStatus(StatusCode::resource_exhausted, HasSubstr("refused")));
  EXPECT_FALSE(pinned_.contains(pageable_));
  gpu_->unpin(pageable_);  // was not pinned: nothing to undo
}

}  // namespace
}  // namespace tintype
