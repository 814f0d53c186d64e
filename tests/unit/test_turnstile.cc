#include <array>
#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "engine/turnstile.h"

namespace tintype {
namespace {

using namespace std::chrono_literals;

TEST(Turnstile, lets_callers_through_in_the_order_in_which_they_came) {
  Turnstile turnstile;
  ASSERT_TRUE(turnstile.enter({}, [] { return true; }));
  std::vector<int> order;
  std::array<std::atomic<bool>, 6> is_queued{};
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < is_queued.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto note_and_go_on = [&] {  // only asked of one who waits
        is_queued[i] = true;
        is_queued[i].notify_one();
        return false;
      };
      ASSERT_TRUE(turnstile.enter(note_and_go_on, [] { return true; }));
      order.push_back(static_cast<int>(i));  // alone inside
      turnstile.leave();
    });
    is_queued[i].wait(false);
  }
  turnstile.leave();
  threads.clear();
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5}));
}

TEST(Turnstile, interrupted_waiter_gives_up_its_place) {
  Turnstile turnstile;
  ASSERT_TRUE(turnstile.enter({}, [] { return true; }));
  EXPECT_FALSE(turnstile.enter([] { return true; }, [] { return true; }));
  turnstile.leave();
  EXPECT_TRUE(turnstile.enter({}, [] { return true; }));
}

TEST(Turnstile, condition_is_evaluated_again_after_a_notification) {
  Turnstile turnstile;
  bool is_open = false;
  std::jthread opener([&] {
    std::this_thread::sleep_for(20ms);
    turnstile.notify([&] { is_open = true; });
  });
  EXPECT_TRUE(turnstile.enter({}, [&] { return is_open; }));
  EXPECT_TRUE(is_open);
}

}  // namespace
}  // namespace tintype
