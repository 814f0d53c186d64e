// Where the system gives no more threads: what needs one is refused and says so, what can do
// without goes on, and nothing hangs or ends the process.
#include <signal.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/threads.h"
#include "engine/copy_crew.h"
#include "engine/file_closer.h"
#include "engine/restore/compressed_source.h"
#include "engine/restore/file_source.h"
#include "engine/restore/read_ahead.h"
#include "engine/restore/verify.h"
#include "engine/slot_pool.h"
#include "tests/support/child_process.h"
#include "tests/support/compressed_file.h"
#include "tests/support/denied_system_calls.h"
#include "tests/support/seeded_save.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

using testing::HasSubstr;

void deny_threads() { deny_system_calls({SCMP_SYS(clone), SCMP_SYS(clone3)}, EAGAIN); }

class ThreadLimits : public testing::Test {
 protected:
  TempDir directory_;
};

TEST_F(ThreadLimits, a_refused_thread_is_a_status_and_signals_still_arrive) {
  EXPECT_TRUE(passes_in_child([] {
    deny_threads();
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR2);
    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, &wanted, nullptr), 0);
    const auto thread = start_thread("tintype-test", [] {});
    EXPECT_THAT(thread.status(), IsStatus(StatusCode::resource_exhausted, HasSubstr("ulimit -u")));
    EXPECT_THAT(thread.status().to_string(), HasSubstr("tintype-test"));
    EXPECT_EQ(thread.status().error_number(), EAGAIN);
    sigset_t standing;
    ASSERT_EQ(pthread_sigmask(SIG_SETMASK, nullptr, &standing), 0);
    EXPECT_EQ(sigismember(&standing, SIGUSR2), 1);
    EXPECT_EQ(sigismember(&standing, SIGINT), 0);
  }));
}

TEST_F(ThreadLimits, an_engine_is_refused) {
  EXPECT_TRUE(passes_in_child([] {
    deny_threads();
    for (const WriteBackend backend : {WriteBackend::automatic, WriteBackend::pwrite}) {
      const auto engine = Engine::create({.backend = backend});
      EXPECT_THAT(engine.status(),
                  IsStatus(StatusCode::resource_exhausted, HasSubstr("tintype-write")));
    }
  }));
}

TEST_F(ThreadLimits, a_compressed_save_fails_and_later_saves_and_the_end_do_not_hang) {
  EXPECT_TRUE(passes_in_child([&] {
    auto engine = Engine::create({.staging_bytes = 8 << 20, .extent_bytes = 256 << 10}).value();
    deny_threads();
    const SeededSave compressed(1, 3'000'000, {.form = FileForm::planes});
    EXPECT_THAT(compressed.run(*engine, directory_ / "x.pth.ttz"),
                IsStatus(StatusCode::resource_exhausted, HasSubstr("tintype-encode")));
    const SeededSave plain(2, 3'000'000);
    EXPECT_OK(plain.run(*engine, directory_ / "x.pth"));
    EXPECT_TRUE(plain.is_held_by(directory_ / "x.pth"));
    EXPECT_THAT(directory_.names(), testing::ElementsAre("x.pth"));
    EXPECT_OK(engine->close());
  }));
}

TEST_F(ThreadLimits, readers_do_all_the_work_themselves) {
  const std::string path = directory_ / "x.pth";
  const SeededSave save(3, 20'000'000);
  const std::string image = save.image();
  write_text(path, image);
  const ByteVector file = compressed_file(FileForm::planes, as_bytes(image), {}, 1 << 20);
  EXPECT_TRUE(passes_in_child([&] {
    deny_threads();
    auto open = [&] { return FileSource::open(posix_file_system(), path).value(); };
    const auto report = verify(open(), {.reading = {.thread_count = 4}});
    ASSERT_OK(report);
    EXPECT_EQ(report->size_bytes, image.size());
    EXPECT_GE(report->checked_bytes, 20'000'000u);

    const auto source =
        CompressedSource::open(std::make_unique<MemorySource>(file), FileForm::planes, {}).value();
    const auto directory = posix_file_system().open_directory(directory_.path()).value();
    const auto ahead = ReadAhead::start(open(), directory->open("x.pth", false).value()).value();
    const std::vector<const ByteSource*> readers = {source.get(), ahead.get()};
    for (const ByteSource* reader : readers) {  // front to back, in small pieces
      ByteVector piece(300'000);
      for (uint64_t offset = 0; offset + piece.size() <= image.size(); offset += piece.size()) {
        ASSERT_OK(reader->read_at(piece, offset));
        ASSERT_EQ(std::memcmp(piece.data(), image.data() + offset, piece.size()), 0);
      }
    }
  }));
}

TEST_F(ThreadLimits, copies_and_closing_fall_to_the_caller) {
  EXPECT_TRUE(passes_in_child([&] {
    deny_threads();
    CopyCrew crew(3);
    EXPECT_EQ(crew.size(), 1u);
    int rounds = 0;
    crew.run([&](bool is_caller) { rounds += is_caller ? 1 : 100; }, [] {});
    EXPECT_EQ(rounds, 1);

    SlotPool pool(1 << 20);
    ASSERT_OK(pool.grow_to(4));
    pool.touch_all(4);
    EXPECT_EQ(pool.touched_regions().size(), 1u);

    const auto directory = posix_file_system().open_directory(directory_.path()).value();
    FileCloser closer;
    closer.close(directory->create("x", 0600).value());
  }));
}

TEST_F(ThreadLimits, the_pwrite_queue_writes_by_itself) {
  EXPECT_TRUE(passes_in_child([&] {
    deny_threads();
    const auto queue = make_queue("pwrite", 2);
    const auto directory = posix_file_system().open_directory(directory_.path()).value();
    const auto file = directory->create("x", 0600).value();
    ASSERT_OK(queue->submit({.file = file.get(), .data = as_bytes("1234"), .token = 1}));
    ASSERT_OK(queue->submit({.file = file.get(), .data = as_bytes("56"), .offset = 4, .token = 2}));
    std::vector<WriteCompletion> completions;
    ASSERT_OK(queue->reap(completions, std::chrono::milliseconds(0)));
    ASSERT_EQ(completions.size(), 2u);
    EXPECT_EQ(completions[0].result, 4);
    EXPECT_EQ(completions[1].result, 2);
    EXPECT_EQ(read_text(directory_ / "x"), "123456");
  }));
}

}  // namespace
}  // namespace tintype
