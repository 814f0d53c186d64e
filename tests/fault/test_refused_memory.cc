// Where the system refuses memory: what needed it fails with an error that says so, and the next
// try, with memory again, does well.
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <utility>

#include "base/threads.h"
#include "tests/support/seeded_save.h"
#include "tests/support/status_matchers.h"

namespace {

std::atomic<size_t> refused_from_bytes = SIZE_MAX;  // by any thread
std::atomic<int> refusal_count = 0;
thread_local bool is_next_refused = false;

}  // namespace

// Not inlined: g++ would take the memory for malloc's own, and delete for the wrong way back.
[[gnu::noinline]] void* operator new(size_t size_bytes) {
  if (size_bytes >= refused_from_bytes || std::exchange(is_next_refused, false)) {
    ++refusal_count;
    throw std::bad_alloc();
  }
  if (void* const memory = std::malloc(size_bytes)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace tintype {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(RefusedMemory, an_encoder_fails_its_save_and_the_next_save_makes_one) {
  const TempDir directory;
  const std::string path = directory / "x.pth.ttz";
  const auto engine = Engine::create({.staging_bytes = 8 << 20, .extent_bytes = 256 << 10}).value();
  const SeededSave save(1, 3'000'000, {.form = FileForm::planes});
  refused_from_bytes = 1 << 20;  // an encoder's working memory is larger
  const Status refused = save.run(*engine, path);
  refused_from_bytes = SIZE_MAX;
  EXPECT_GE(refusal_count.exchange(0), 1);
  EXPECT_THAT(refused, IsStatus(StatusCode::resource_exhausted,
                                AllOf(HasSubstr("save '" + path + "': get memory for 'encoding': "),
                                      HasSubstr("; free memory"))));
  EXPECT_EQ(refused.error_number(), ENOMEM);
  EXPECT_THAT(directory.names(), ElementsAre());
  EXPECT_OK(save.run(*engine, path));
  EXPECT_THAT(directory.names(), ElementsAre("x.pth.ttz"));
  EXPECT_EQ(refusal_count, 0);
}

TEST(RefusedMemory, a_thread_is_not_started_and_the_next_one_is) {
  std::atomic<int> run_count = 0;
  const auto body = [&run_count] { ++run_count; };
  is_next_refused = true;
  const auto refused = start_thread("tintype-test", body);
  EXPECT_EQ(refusal_count.exchange(0), 1);
  EXPECT_THAT(refused,
              IsStatus(StatusCode::resource_exhausted, HasSubstr("get memory for 'a thread': ")));
  EXPECT_EQ(refused.status().error_number(), ENOMEM);
  sigset_t blocked;
  ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &blocked), 0);
  EXPECT_EQ(sigismember(&blocked, SIGINT), 0);
  auto thread = start_thread("tintype-test", body);
  ASSERT_OK(thread);
  thread->join();
  EXPECT_EQ(run_count, 1);
}

TEST(RefusedMemory, a_group_of_threads_stays_as_large_as_it_was) {
  std::atomic<int> run_count = 0;
  const auto body = [&run_count] { ++run_count; };
  ThreadGroup threads;
  ASSERT_OK(threads.start("tintype-test", body));
  is_next_refused = true;  // of the place that the thread is to have
  const Status refused = threads.start("tintype-test", body);
  EXPECT_THAT(refused,
              IsStatus(StatusCode::resource_exhausted, HasSubstr("get memory for 'a thread': ")));
  EXPECT_EQ(refusal_count.exchange(0), 1);
  EXPECT_EQ(threads.size(), 1u);
  threads.fill_up_to(3, "tintype-test", body);
  EXPECT_EQ(threads.size(), 3u);
  threads.join();
  EXPECT_EQ(run_count, 3);
}

}  // namespace
}  // namespace tintype
