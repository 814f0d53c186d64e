// The decoders that readers of a compressed file share: how many there are, and that none is lost.
#include <atomic>
#include <chrono>
#include <new>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "engine/restore/decoder_pool.h"
#include "io/archive/compressed_layout.h"
#include "tests/support/codec_data.h"
#include "tests/support/compressed_file.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

constexpr uint64_t kExtentBytes = 64u << 10;

class DecoderPoolTest : public testing::TestWithParam<FileForm> {
 protected:
  const ByteVector plain_ = content_bytes(Content::weights_fp32, 30 * kExtentBytes, 1);
  const ByteVector file_ = compressed_file(GetParam(), plain_, ElementMap(), kExtentBytes);
};
INSTANTIATE_TEST_SUITE_P(Forms, DecoderPoolTest, testing::Values(FileForm::zstd, FileForm::planes),
                         [](const auto& form) { return std::string(to_string(form.param)); });

// Notes how many reads go on at once.
class CrowdedFile final : public ByteSource {
 public:
  explicit CrowdedFile(ByteView bytes) : bytes_(bytes, "x.pth.ttz") {}

  uint64_t size_bytes() const override { return bytes_.size_bytes(); }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    const int now = ++reading_;
    for (int most = most_; now > most && !most_.compare_exchange_weak(most, now);) {
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    Status status = bytes_.read_at(target, offset);
    --reading_;
    return status;
  }
  const std::string& name() const override { return bytes_.name(); }
  int most() const { return most_; }

 private:
  MemorySource bytes_;
  mutable std::atomic<int> reading_{0};
  mutable std::atomic<int> most_{0};
};

TEST_P(DecoderPoolTest, threads_wait_where_all_decoders_are_taken) {
  const CrowdedFile file(file_);
  const FrameIndex index = read_frame_index(file, GetParam()).value();
  DecoderPool decoders(file, index, 2);
  std::vector<std::thread> threads;
  for (size_t first = 0; first < 6; ++first) {
    threads.emplace_back([&, first] {
      for (size_t i = first; i < index.extents.size(); i += 6) {
        ByteVector plain(index.extents[i].plain_bytes);
        EXPECT_OK(decoders.decode(i, plain));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(file.most(), 2);
  for (size_t i = 0; i < index.extents.size(); ++i) EXPECT_TRUE(decoders.is_sound(i));
}

// Has no memory for its first read.
class PoorFile final : public ByteSource {
 public:
  explicit PoorFile(ByteView bytes) : bytes_(bytes, "x.pth.ttz") {}

  uint64_t size_bytes() const override { return bytes_.size_bytes(); }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    if (!std::exchange(has_refused_, true)) throw std::bad_alloc();
    return bytes_.read_at(target, offset);
  }
  const std::string& name() const override { return bytes_.name(); }

 private:
  MemorySource bytes_;
  mutable bool has_refused_ = false;
};

TEST_P(DecoderPoolTest, memory_that_is_refused_takes_no_decoder_from_others) {
  const FrameIndex index = read_frame_index(MemorySource(file_), GetParam()).value();
  const PoorFile file(file_);
  DecoderPool decoders(file, index, 1);
  ByteVector plain(index.extents[0].plain_bytes);
  EXPECT_THROW(static_cast<void>(decoders.decode(0, plain)), std::bad_alloc);
  EXPECT_OK(decoders.decode(0, plain));
}

}  // namespace
}  // namespace tintype
