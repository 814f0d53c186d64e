// The kernels, streams and events of a real GPU, against the host. Skipped where there is none.
#include <algorithm>
#include <cstring>
#include <random>
#include <vector>

#include "io/archive/byte_planes.h"
#include "io/archive/crc32.h"
#include "kernels/current_device.h"
#include "kernels/gpu.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

constexpr size_t kBytes = 64 << 20;

class GpuKernels : public testing::Test {
 protected:
  void SetUp() override {
    const auto count = api_.device_count();
    if (!count.is_ok()) GTEST_SKIP() << count.status().to_string();
    gpu_ = Gpu::open(api_, pinned_, 0).value();
    const CurrentDevice current(api_, 0);
    ASSERT_OK(current.status());
    device_ = api_.allocate_on_device(kBytes).value();
    slab_ = api_.allocate_on_device(kBytes).value();
    host_ = api_.allocate_on_host(kBytes).value();
    stream_ = api_.create_stream().value();
    std::mt19937_64 random(1);
    for (std::byte& byte : host_) byte = static_cast<std::byte>(random());
    content_.assign(host_.begin(), host_.end());
    ASSERT_OK(api_.copy(device_.data(), host_.data(), kBytes, stream_));
    ASSERT_OK(api_.synchronize(stream_));
    ASSERT_OK(gpu_->pin(target_));
  }
  void TearDown() override {
    if (gpu_ != nullptr) gpu_->unpin(target_);
  }

  // With gaps on both sides, at any alignment; sizes by a generator.
  template <typename Size>
  std::vector<CopyPiece> pieces(MutableBytes from, ByteVector& to, Size size_of) {
    std::vector<CopyPiece> made;
    for (uint64_t place = 0; place + (2 << 20) + 64 < kBytes;) {
      const uint64_t size = size_of();
      made.push_back({from.data() + place + random_() % 32, to.data() + place + random_() % 32,
                      size, nullptr});
      place += size + 64;
    }
    crcs_.assign(made.size(), 0);
    for (size_t i = 0; i < made.size(); ++i) made[i].crc = &crcs_[i];
    return made;
  }

  void expect_arrived(const std::vector<CopyPiece>& pieces, MutableBytes from) {
    for (const CopyPiece& piece : pieces) {
      const ByteView expected(content_.data() + (piece.source - from.data()), piece.size_bytes);
      ASSERT_TRUE(std::equal(expected.begin(), expected.end(), piece.target));
      ASSERT_EQ(*piece.crc, crc32(0, expected));
    }
  }

  // On the stream, by our own kernel.
  void fill_from(size_t offset, size_t size_bytes) {
    const CopyPiece piece{device_.data() + offset, slab_.data(), size_bytes, nullptr};
    ASSERT_OK(gpu_->gather(std::vector<CopyPiece>{piece}, stream_));
  }

  std::mt19937_64 random_{2};
  CudaApi& api_ = *cuda_runtime_api();
  PinnedMemory pinned_{api_};
  std::unique_ptr<Gpu> gpu_;
  CudaApi::Stream stream_ = 0;
  MutableBytes device_, slab_, host_;
  ByteVector content_;
  ByteVector target_ = ByteVector(kBytes);
  ByteVector pageable_ = ByteVector(kBytes);
  std::vector<uint32_t> crcs_;
};

TEST_F(GpuKernels, pieces_of_all_sizes_and_alignments_arrive_with_their_crcs) {
  const auto any = [this] { return random_() % (1 + random_() % (2 << 20)); };
  for (ByteVector* to : {&target_, &pageable_}) {
    const auto wanted = pieces(device_, *to, any);
    ASSERT_OK(gpu_->copy(wanted, nullptr).value()->wait());
    expect_arrived(wanted, device_);
  }
}

TEST_F(GpuKernels, tens_of_thousands_of_small_pieces_arrive) {
  const auto wanted = pieces(device_, target_, [this] { return random_() % 2000; });
  EXPECT_GT(wanted.size(), 10'000u);
  ASSERT_OK(gpu_->copy(wanted, nullptr).value()->wait());
  expect_arrived(wanted, device_);
}

TEST_F(GpuKernels, gathered_pieces_come_out_of_the_slab_as_they_were) {
  const CopyPiece whole{device_.data(), slab_.data(), kBytes, nullptr};
  ASSERT_OK(gpu_->gather(std::vector<CopyPiece>{whole}, stream_));
  const auto start = gpu_->record(stream_).value();
  const auto wanted = pieces(slab_, target_, [this] { return random_() % 500'000; });
  ASSERT_OK(gpu_->copy(wanted, start.get()).value()->wait());
  expect_arrived(wanted, slab_);
}

TEST_F(GpuKernels, elements_are_sorted_into_planes_as_the_host_does) {
  for (const uint32_t width : {2u, 4u, 8u}) {
    const uint64_t count = kBytes / width - 1000 * width - width / 2;  // aligned planes or not
    CopyPiece piece{device_.data() + 8 * width, target_.data() + width, count * width, nullptr};
    piece.planes = {.width = width, .is_rotated = width != 8, .plane_bytes = count};
    ASSERT_TRUE(gpu_->can_split(target_));
    ASSERT_OK(gpu_->copy(std::vector<CopyPiece>{piece}, nullptr).value()->wait());
    ByteVector planes(count * width);
    std::vector<std::byte*> places;
    for (uint32_t b = 0; b < width; ++b) {
      places.push_back(planes.data() + plane_index(0, b, count));
    }
    split_planes(ByteView(content_).subspan(8 * width, count * width), width != 8, places);
    EXPECT_TRUE(std::equal(planes.begin(), planes.end(), piece.target)) << width;
  }
}

TEST_F(GpuKernels, copies_start_behind_the_stream_and_the_stream_goes_on_behind_them) {
  constexpr size_t kHalf = 8 << 20;
  for (int i = 0; i < 200; ++i) {
    fill_from(0, kHalf);
    const auto start = gpu_->record(stream_).value();
    uint32_t crc = 0;
    const CopyPiece piece{slab_.data(), target_.data(), kHalf, &crc};
    const auto copied = gpu_->copy(std::vector<CopyPiece>{piece}, start.get()).value();
    ASSERT_OK(gpu_->make_wait(stream_, *copied));
    fill_from(kHalf, kHalf);  // must not be seen
    ASSERT_OK(copied->wait());
    ASSERT_EQ(crc, crc32(0, ByteView(content_).first(kHalf)));
    ASSERT_EQ(std::memcmp(target_.data(), content_.data(), kHalf), 0);
  }
}

}  // namespace
}  // namespace tintype
