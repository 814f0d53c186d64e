#include <atomic>
#include <memory>
#include <string>
#include <string_view>
#include <thread>

#include "base/log.h"
#include "engine/file_closer.h"
#include "tests/support/gate.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

// Of a file its close only.
class ClosingFile final : public File {
 public:
  ClosingFile(std::shared_ptr<Gate> gate, std::shared_ptr<std::atomic<int>> closed)
      : gate_(std::move(gate)), closed_(std::move(closed)) {}
  ~ClosingFile() override {
    gate_->pass();
    ++*closed_;
  }

  Result<size_t> write_at(ByteView, uint64_t) override { return none(); }
  Result<size_t> read_at(MutableBytes, uint64_t) override { return none(); }
  Status allocate(uint64_t) override { return none(); }
  Status truncate(uint64_t) override { return none(); }
  Status sync_data() override { return none(); }
  Result<FileInfo> info() override { return none(); }
  Status set_mode(mode_t) override { return none(); }
  Status try_lock() override { return none(); }
  Status set_direct(bool) override { return none(); }
  Status clone_from(File&) override { return none(); }
  int descriptor() const override { return -1; }
  const std::string& path() const override { return path_; }

 private:
  static Status none() { return Status::internal("nobody should ask"); }

  const std::shared_ptr<Gate> gate_;
  const std::shared_ptr<std::atomic<int>> closed_;
  const std::string path_;
};

TEST(FileCloser, who_needs_their_room_waits_for_the_files_of_all_closers) {
  const auto gate = std::make_shared<Gate>();
  const auto closed = std::make_shared<std::atomic<int>>(0);
  FileCloser first;
  FileCloser second;
  for (FileCloser* closer : {&first, &second}) {
    closer->close(std::make_unique<ClosingFile>(gate, closed));
  }
  FileCloser::wait_for_all(milliseconds(20));
  EXPECT_EQ(*closed, 0);
  std::thread opener([&] { gate->open(); });
  FileCloser::wait_for_all(std::chrono::minutes(1));
  EXPECT_EQ(*closed, 2);
  opener.join();
}

TEST(FileCloser, everything_is_closed_when_it_ends) {
  const auto gate = std::make_shared<Gate>();
  const auto closed = std::make_shared<std::atomic<int>>(0);
  gate->open();
  {
    FileCloser closer;
    for (int i = 0; i < 20; ++i) closer.close(std::make_unique<ClosingFile>(gate, closed));
    closer.close(nullptr);
  }
  EXPECT_EQ(*closed, 20);
}

TEST(FileCloser, a_caller_closes_its_own_file_when_too_many_wait) {
  const auto slow = std::make_shared<Gate>();
  const auto open = std::make_shared<Gate>();
  open->open();
  const auto slow_closed = std::make_shared<std::atomic<int>>(0);
  const auto own_closed = std::make_shared<std::atomic<int>>(0);
  FileCloser closer;
  closer.close(std::make_unique<ClosingFile>(slow, slow_closed));
  while (!slow->has_held()) std::this_thread::sleep_for(milliseconds(1));  // no longer waiting
  for (size_t i = 0; i < FileCloser::kMaxWaiting; ++i) {
    closer.close(std::make_unique<ClosingFile>(slow, slow_closed));
  }
  closer.close(std::make_unique<ClosingFile>(open, own_closed));
  EXPECT_EQ(*own_closed, 1);
  EXPECT_EQ(*slow_closed, 0);
  slow->open();
}

TEST(FileCloser, a_close_that_hangs_is_left_to_its_thread) {
  const auto gate = std::make_shared<Gate>();
  const auto closed = std::make_shared<std::atomic<int>>(0);
  std::string warning;
  set_log_sink([&](std::string_view message) { warning = message; });
  {
    FileCloser closer(milliseconds(20));
    for (int i = 0; i < 2; ++i) closer.close(std::make_unique<ClosingFile>(gate, closed));
  }
  set_log_sink({});
  EXPECT_THAT(warning, HasSubstr("left to a thread"));
  EXPECT_EQ(*closed, 0);
  gate->open();
  while (*closed < 2) std::this_thread::sleep_for(milliseconds(1));
}

}  // namespace
}  // namespace tintype
