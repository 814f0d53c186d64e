// Short writes, EAGAIN, EINTR and errors through both real queues.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "io/disk/resuming_writer.h"
#include "tests/support/fault_write_queue.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr size_t kPieceBytes = 16384;
constexpr size_t kPieces = 24;

struct FreeMemory {
  void operator()(void* memory) const { std::free(memory); }
};

class WriteFaults : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (make_queue(GetParam(), 1) == nullptr) GTEST_SKIP() << GetParam() << " is not to be had";
    memory_.reset(static_cast<std::byte*>(std::aligned_alloc(4096, kPieceBytes * kPieces)));
    content_ = MutableBytes(memory_.get(), kPieceBytes * kPieces);
    std::mt19937_64 random(7);
    for (std::byte& byte : content_) byte = static_cast<std::byte>(random());
    const auto directory = posix_file_system().open_directory(directory_.path()).value();
    file_ = directory->create("x", 0600).value();
  }

  FaultWriteQueue make(FaultWriteQueue::Rule rule, uint32_t depth = 4) {
    return FaultWriteQueue(make_queue(GetParam(), depth), std::move(rule));
  }

  WriteRequest piece(size_t index) const {
    return {.file = file_.get(),
            .data = ByteView(content_).subspan(index * kPieceBytes, kPieceBytes),
            .offset = index * kPieceBytes,
            .token = index + 1};
  }

  // Writes every piece; returns what failed.
  std::vector<FinishedWrite> write_all(ResumingWriter& writer, bool is_direct) {
    std::vector<FinishedWrite> finished;
    size_t started = 0;
    while (finished.size() < kPieces) {
      while (started < kPieces && writer.has_room()) writer.start(piece(started++), is_direct);
      EXPECT_OK(writer.poll(finished, milliseconds(1000)));
    }
    std::erase_if(finished, [](const FinishedWrite& write) { return write.status.is_ok(); });
    return finished;
  }

  bool is_written_whole() {
    EXPECT_OK(file_->set_direct(false));
    const auto found = read_whole(*file_, 1 << 30).value();
    return std::equal(found.begin(), found.end(), content_.begin(), content_.end());
  }

  TempDir directory_;
  std::unique_ptr<std::byte, FreeMemory> memory_;
  MutableBytes content_;
  std::unique_ptr<File> file_;
};

TEST_P(WriteFaults, random_short_writes_and_retries_leave_every_byte_in_place) {
  uint64_t fired = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    ASSERT_OK(file_->truncate(0));
    auto queue = make(random_write_faults(seed, 40));
    ResumingWriter writer(queue);
    EXPECT_TRUE(write_all(writer, false).empty());
    ASSERT_TRUE(is_written_whole()) << "seed " << seed;
    const WriterCounters& counters = writer.counters();
    EXPECT_EQ(counters.short_writes + counters.retried_writes, queue.fired());
    fired += queue.fired();
  }
  std::cout << fired << " faults fired\n";
  EXPECT_GT(fired, 100u);
}

TEST_P(WriteFaults, random_faults_on_a_direct_file_keep_the_writes_aligned) {
  if (!file_->set_direct(true).is_ok()) GTEST_SKIP() << "no O_DIRECT here";
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    auto queue = make([rule = random_write_faults(seed, 40)](const WriteRequest& request,
                                                             uint64_t index) mutable {
      EXPECT_EQ(request.offset % 4096, 0u);
      EXPECT_EQ(request.data.size() % 4096, 0u);
      WriteFault fault = rule(request, index);
      // The kernel's short direct writes end at a block; the report may still say less.
      if (fault.kind == WriteFault::Kind::short_write) {
        fault.passed_bytes = std::max<size_t>(512, fault.passed_bytes / 512 * 512);
      }
      return fault;
    });
    ResumingWriter writer(queue);
    EXPECT_TRUE(write_all(writer, true).empty());
    ASSERT_TRUE(is_written_whole()) << "seed " << seed;
    EXPECT_GT(queue.fired(), 0u);
    ASSERT_OK(file_->set_direct(true));
  }
}

TEST_P(WriteFaults, an_error_ends_its_write_and_no_other) {
  for (const int error_number : {EIO, ENOSPC, EDQUOT, EFBIG, EBADF}) {
    auto queue = make([&](const WriteRequest& request, uint64_t) {
      if (request.token != 5) return WriteFault{};
      return WriteFault{.kind = WriteFault::Kind::result, .result = -error_number};
    });
    ResumingWriter writer(queue);
    const auto failed = write_all(writer, false);
    ASSERT_EQ(failed.size(), 1u);
    EXPECT_EQ(queue.fired(), 1u);
    EXPECT_EQ(failed[0].token, 5u);
    EXPECT_EQ(failed[0].status.error_number(), error_number);
    EXPECT_THAT(std::string(failed[0].status.message()), HasSubstr(file_->path()));
  }
}

TEST_P(WriteFaults, a_write_that_never_gets_on_ends_with_an_error) {
  for (const int64_t result : {-int64_t{EAGAIN}, -int64_t{EINTR}}) {
    auto queue = make([&](const WriteRequest& request, uint64_t) {
      if (request.token != 1) return WriteFault{};
      return WriteFault{.kind = WriteFault::Kind::result, .result = result};
    });
    ResumingWriter writer(queue);
    const auto failed = write_all(writer, false);
    ASSERT_EQ(failed.size(), 1u);
    EXPECT_EQ(failed[0].status.error_number(), -result);
    EXPECT_GT(queue.fired(), 10u);
    EXPECT_LE(queue.fired(), 100u);
  }
}

TEST_P(WriteFaults, a_write_of_nothing_is_an_error) {
  auto queue = make([](const WriteRequest& request, uint64_t) {
    return request.token == 2 ? WriteFault{.kind = WriteFault::Kind::result} : WriteFault{};
  });
  ResumingWriter writer(queue);
  const auto failed = write_all(writer, false);
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_THAT(failed[0].status, IsStatus(StatusCode::io_error, HasSubstr("nothing was taken")));
}

TEST_P(WriteFaults, a_refused_submit_ends_its_write_and_no_other) {
  auto queue = make([](const WriteRequest& request, uint64_t) {
    if (request.token != 3) return WriteFault{};
    return WriteFault{.kind = WriteFault::Kind::refused_submit, .result = -ENOMEM};
  });
  ResumingWriter writer(queue);
  const auto failed = write_all(writer, false);
  ASSERT_EQ(failed.size(), 1u);
  EXPECT_EQ(failed[0].token, 3u);
  EXPECT_EQ(failed[0].status.code(), StatusCode::resource_exhausted);
}

TEST_P(WriteFaults, a_file_system_that_refuses_direct_writes_gets_buffered_ones) {
  if (!file_->set_direct(true).is_ok()) GTEST_SKIP() << "no O_DIRECT here";
  for (const int error_number : {EINVAL, EOPNOTSUPP}) {
    ASSERT_OK(file_->truncate(0));
    ASSERT_OK(file_->set_direct(true));
    auto queue = make([&](const WriteRequest&, uint64_t index) {
      if (index >= 3) return WriteFault{};
      return WriteFault{.kind = WriteFault::Kind::result, .result = -error_number};
    });
    ResumingWriter writer(queue);
    EXPECT_TRUE(write_all(writer, true).empty());
    EXPECT_EQ(queue.fired(), 3u);
    EXPECT_EQ(writer.counters().demotions, 1u);
    EXPECT_TRUE(is_written_whole());
  }
}

TEST_P(WriteFaults, a_queue_of_one_entry_under_faults_loses_nothing) {
  auto queue = make(random_write_faults(99, 60), 1);
  ResumingWriter writer(queue);
  EXPECT_TRUE(write_all(writer, false).empty());
  EXPECT_GT(queue.fired(), 0u);
  EXPECT_TRUE(is_written_whole());
}

INSTANTIATE_TEST_SUITE_P(Queues, WriteFaults, testing::ValuesIn(queue_names()),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace tintype
