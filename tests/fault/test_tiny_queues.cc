// Queues far smaller than the work: one or two entries, two saves of many extents in flight, and a
// kernel that cuts writes short and asks for patience.
#include <iostream>
#include <memory>
#include <string>

#include "tests/support/fault_write_queue.h"
#include "tests/support/seeded_save.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

constexpr size_t kStateBytes = 1 << 20;

class TinyQueues : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    if (make_queue(GetParam(), 1) == nullptr) GTEST_SKIP() << GetParam() << " is not to be had";
  }

  // Three slots of 4 KiB for a state of 1 MiB.
  static std::unique_ptr<Engine> make_engine(EngineOptions options) {
    options.staging_bytes = 3 * 4096;
    options.extent_bytes = 4096;
    options.copy_threads = 2;
    return std::move(Engine::create(std::move(options)).value());
  }

  void expect_saves(Engine& engine) {
    const SeededSave first(1, kStateBytes);
    const SeededSave second(2, kStateBytes);
    const auto one = first.start(engine, directory_ / "a.pth");
    const auto two = second.start(engine, directory_ / "b.pth");
    ASSERT_OK(one);
    ASSERT_OK(two);
    EXPECT_OK(*(*one)->wait_durable(std::nullopt));
    EXPECT_OK(*(*two)->wait_durable(std::nullopt));
    EXPECT_TRUE(first.is_held_by(directory_ / "a.pth"));
    EXPECT_TRUE(second.is_held_by(directory_ / "b.pth"));
  }

  TempDir directory_{fast_parent()};
};

TEST_P(TinyQueues, of_one_to_three_entries_serve_two_saves_of_250_extents_each) {
  for (const uint32_t depth : {1u, 2u, 3u}) {
    SCOPED_TRACE(depth);
    const auto backend = GetParam() == "pwrite" ? WriteBackend::pwrite : WriteBackend::io_uring;
    expect_saves(*make_engine({.queue_depth = depth, .backend = backend}));
  }
}

TEST_P(TinyQueues, lose_nothing_when_writes_are_cut_short_and_refused) {
  for (const uint32_t depth : {1u, 2u}) {
    SCOPED_TRACE(depth);
    FaultWriteQueue* queue = nullptr;
    EngineOptions options{.direct_io = DirectIo::off};
    options.make_write_queue = [&]() -> Result<std::unique_ptr<WriteQueue>> {
      auto made = std::make_unique<FaultWriteQueue>(make_queue(GetParam(), depth),
                                                    random_write_faults(depth, 30));
      queue = made.get();
      return std::unique_ptr<WriteQueue>(std::move(made));
    };
    const auto engine = make_engine(std::move(options));
    expect_saves(*engine);
    std::cout << GetParam() << ", " << depth << ": " << queue->fired() << " faults fired\n";
    EXPECT_GT(queue->fired(), 50u);
  }
}

INSTANTIATE_TEST_SUITE_P(Queues, TinyQueues, testing::ValuesIn(queue_names()),
                         [](const auto& param) { return param.param; });

}  // namespace
}  // namespace tintype
