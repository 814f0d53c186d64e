// The line that pieces go through: their order, how many there are at once, and how it ends.
#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <new>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "base/page_sizes.h"
#include "engine/transcode/aligned_buffer.h"
#include "engine/transcode/ordered_line.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::HasSubstr;

// Numbers its pieces, takes odd amounts of time, and notes what happened.
class CountingWork final : public PieceWork {
 public:
  CountingWork(uint32_t slot_count, uint64_t piece_count)
      : piece_of_slot(slot_count), left_(piece_count) {}

  Result<bool> take(uint32_t slot) override {
    TINTYPE_RETURN_IF_ERROR(fail("take", taken));
    if (left_ == 0) return false;
    --left_;
    piece_of_slot[slot] = taken++;
    held_max = std::max(held_max.load(), ++held_);
    return true;
  }

  Status work(uint32_t slot) override {
    working_max = std::max(working_max.load(), ++working_);
    std::this_thread::sleep_for(std::chrono::microseconds(nap_us()));
    --working_;
    return fail("work", piece_of_slot[slot]);
  }

  Status place(uint32_t slot) override {
    TINTYPE_RETURN_IF_ERROR(fail("place", piece_of_slot[slot]));
    placed.push_back(piece_of_slot[slot]);
    return Status::ok();
  }

  Status store(uint32_t slot) override {
    std::this_thread::sleep_for(std::chrono::microseconds(nap_us()));
    TINTYPE_RETURN_IF_ERROR(fail("store", piece_of_slot[slot]));
    if (failing_step == "store" && piece_of_slot[slot] > failing_piece) let_failure_be_told();
    --held_;
    ++stored;
    return Status::ok();
  }

  std::string failing_step;  // and at which piece
  uint64_t failing_piece = 0;
  bool throws_bad_alloc = false;  // instead of answering with an error

  std::vector<uint64_t> piece_of_slot;
  std::vector<uint64_t> placed;
  uint64_t taken = 0;
  std::atomic<uint64_t> stored{0};
  std::atomic<uint32_t> held_max{0};
  std::atomic<uint32_t> working_max{0};

 private:
  Status fail(const std::string& step, uint64_t piece) {
    if (step != failing_step || piece != failing_piece) return Status::ok();
    has_failed_ = true;
    has_failed_.notify_all();
    if (throws_bad_alloc) throw std::bad_alloc();
    return {StatusCode::io_error, "made to fail in " + step};
  }

  // Stores are not in order: what is behind the failing one would go on for as long as that thread
  // takes to answer.
  void let_failure_be_told() {
    has_failed_.wait(false);
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }

  int nap_us() {
    std::lock_guard lock(random_mutex_);
    return std::uniform_int_distribution<int>(0, 300)(random_);
  }

  uint64_t left_;
  std::atomic<bool> has_failed_{false};
  std::atomic<uint32_t> held_{0};
  std::atomic<uint32_t> working_{0};
  std::mutex random_mutex_;
  std::mt19937 random_{7};
};

TEST(OrderedLine, pieces_leave_in_the_order_in_which_they_came) {
  for (uint32_t slots = 1; slots <= 8; ++slots) {
    CountingWork work(slots, 200);
    ASSERT_OK(run_line(work, {.slot_count = slots, .worker_count = slots}));
    std::vector<uint64_t> expected(200);
    std::iota(expected.begin(), expected.end(), uint64_t{0});
    EXPECT_EQ(work.placed, expected);
    EXPECT_EQ(work.stored, 200u);
  }
}

TEST(OrderedLine, no_more_pieces_are_held_than_slots_and_worked_on_than_workers) {
  CountingWork work(5, 300);
  ASSERT_OK(run_line(work, {.slot_count = 5, .worker_count = 2}));
  EXPECT_LE(work.held_max, 5u);
  EXPECT_GT(work.held_max, 1u);
  EXPECT_LE(work.working_max, 2u);
}

TEST(OrderedLine, nothing_to_do_is_done_at_once) {
  CountingWork work(3, 0);
  EXPECT_OK(run_line(work, {.slot_count = 3, .worker_count = 1}));
  EXPECT_TRUE(work.placed.empty());
}

TEST(OrderedLine, the_first_error_of_any_step_ends_it_and_nothing_behind_is_placed) {
  for (const char* step : {"take", "work", "place", "store"}) {
    for (uint32_t slots = 1; slots <= 5; slots += 2) {
      CountingWork work(slots, 100);
      work.failing_step = step;
      work.failing_piece = 41;
      EXPECT_THAT(run_line(work, {.slot_count = slots, .worker_count = slots}),
                  IsStatus(StatusCode::io_error, HasSubstr(step)));
      for (size_t i = 0; i < work.placed.size(); ++i) EXPECT_EQ(work.placed[i], i);
      // While a piece is stored, those behind it are placed.
      const size_t placed_max = std::string(step) == "store" ? 41 + slots : 41;
      EXPECT_LE(work.placed.size(), placed_max) << step;
      EXPECT_LT(work.taken, 100u);
    }
  }
}

TEST(OrderedLine, memory_that_a_step_does_not_get_ends_it_as_an_error) {
  for (const char* step : {"take", "work", "place", "store"}) {
    CountingWork work(3, 100);
    work.failing_step = step;
    work.failing_piece = 41;
    work.throws_bad_alloc = true;
    EXPECT_THAT(run_line(work, {.slot_count = 3, .worker_count = 2}),
                IsStatus(StatusCode::resource_exhausted, HasSubstr("ENOMEM")));
    EXPECT_LT(work.taken, 100u) << step;
  }
}

TEST(AlignedBuffer, memory_that_there_is_not_is_refused) {
  constexpr uint64_t kMoreThanAddresses = uint64_t{1} << 60;
  EXPECT_THAT(AlignedBuffer::make(kMoreThanAddresses).status(),
              IsStatus(StatusCode::resource_exhausted, HasSubstr("ENOMEM")));
  EXPECT_EQ(AlignedBuffer::make(1).value().size(), kDirectAlignmentBytes);
  EXPECT_EQ(AlignedBuffer::make(0).value().size(), 0u);
}

TEST(OrderedLine, an_interrupt_ends_it_soon) {
  CountingWork work(2, 1'000'000'000);
  const auto begin = std::chrono::steady_clock::now();
  LineOptions options{.slot_count = 2, .worker_count = 2};
  int questions = 0;
  options.is_interrupted = [&] { return ++questions == 3; };
  EXPECT_THAT(run_line(work, options), IsStatus(StatusCode::interrupted, HasSubstr("")));
  EXPECT_EQ(questions, 3);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  EXPECT_GE(work.placed.size(), work.stored);
}

}  // namespace
}  // namespace tintype
