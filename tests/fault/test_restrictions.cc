// What a container or a limit may take away: io_uring, locked memory, file size, open files.
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <fstream>
#include <iostream>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/log.h"
#include "base/page_sizes.h"
#include "io/disk/backend.h"
#include "tests/support/child_process.h"
#include "tests/support/denied_system_calls.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/seeded_save.h"
#include "tests/support/status_matchers.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

void drop_all_capabilities() {
  __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct none[2] = {};
  ASSERT_EQ(::syscall(SYS_capset, &header, none), 0);
}

void set_limit(decltype(RLIMIT_NOFILE) resource, rlim_t value) {
  struct rlimit limit = {};
  ASSERT_EQ(::getrlimit(resource, &limit), 0);
  limit.rlim_cur = value;
  ASSERT_EQ(::setrlimit(resource, &limit), 0);
}

class Restrictions : public testing::Test {
 protected:
  std::string path() const { return directory_ / "x.pth"; }

  void expect_saves(Engine& engine, uint64_t seed) {
    const SeededSave save(seed);
    EXPECT_OK(save.run(engine, path()));
    EXPECT_TRUE(save.is_held_by(path()));
    EXPECT_THAT(directory_.names(), ElementsAre("x.pth"));
  }

  bool has_uring() { return make_queue("io_uring", 1) != nullptr; }

  TempDir directory_;
};

TEST_F(Restrictions, without_io_uring_pwrite_serves_and_the_note_says_why) {
  const struct {
    int system_call;
    const char* name;
  } denied[] = {{SCMP_SYS(io_uring_setup), "io_uring_setup"},
                {SCMP_SYS(io_uring_enter), "io_uring_enter"},
                {SCMP_SYS(io_uring_register), "io_uring_register"}};
  if (!has_uring()) GTEST_SKIP() << "io_uring is not to be had, so nothing falls back";
  int cases = 0;
  for (const auto& [system_call, name] : denied) {
    for (const int error_number : {EPERM, ENOSYS}) {
      SCOPED_TRACE(testing::Message() << name << " gives " << errno_name(error_number));
      EXPECT_TRUE(passes_in_child([&] {
        deny_system_calls({system_call}, error_number);
        set_log_sink([](std::string_view) {});
        auto engine = make_small_engine();
        const EngineStats stats = engine->stats();
        EXPECT_EQ(stats.backend, "pwrite");
        EXPECT_THAT(stats.backend_note, HasSubstr(name));
        EXPECT_THAT(stats.backend_note, HasSubstr(errno_name(error_number)));
        EXPECT_THAT(stats.backend_note,
                    HasSubstr(error_number == EPERM ? "seccomp" : "has no io_uring"));
        expect_saves(*engine, 1);
      }));
      ++cases;
    }
  }
  std::cout << cases << " ways of missing io_uring\n";
}

TEST_F(Restrictions, without_locked_memory_the_buffers_stay_unregistered) {
  if (!has_uring()) GTEST_SKIP() << "io_uring is not to be had";
  EXPECT_TRUE(passes_in_child([&] {  // first with every right, to see that the rest takes one away
    if (::geteuid() != 0) return;
    auto engine = make_small_engine({.backend = WriteBackend::io_uring});
    EXPECT_OK(engine->prepare(1 << 20));
    EXPECT_EQ(engine->stats().backend, "io_uring+registered");
    EXPECT_EQ(engine->stats().backend_note, "");
  }));
  for (const rlim_t limit_bytes : {rlim_t{64} << 10, rlim_t{0}}) {
    SCOPED_TRACE(testing::Message() << limit_bytes << " bytes may be locked");
    EXPECT_TRUE(passes_in_child([&] {
      set_limit(RLIMIT_MEMLOCK, limit_bytes);
      drop_all_capabilities();
      set_log_sink([](std::string_view) {});
      auto engine = make_small_engine();
      EXPECT_OK(engine->prepare(1 << 20));
      const std::string backend = engine->stats().backend;
      EXPECT_TRUE(backend == "io_uring" || backend == "pwrite") << backend;
      EXPECT_THAT(engine->stats().backend_note,
                  backend == "io_uring" ? HasSubstr("ulimit -l") : HasSubstr("io_uring"));
      expect_saves(*engine, 1);
      std::cout << limit_bytes << " bytes may be locked: " << backend << "\n";
    }));
  }
}

TEST_F(Restrictions, a_refused_registration_names_the_limit_and_changes_nothing) {
  if (!has_uring()) GTEST_SKIP() << "io_uring is not to be had";
  EXPECT_TRUE(passes_in_child([&] {
    set_limit(RLIMIT_MEMLOCK, 64 << 10);
    drop_all_capabilities();
    auto queue = make_queue("io_uring", 4);
    ASSERT_NE(queue, nullptr);
    ByteVector memory(1 << 20);
    const MutableBytes buffers[] = {MutableBytes(memory)};
    const Status status = queue->register_buffers(buffers);
    EXPECT_THAT(status, IsStatus(StatusCode::resource_exhausted, HasSubstr("ulimit -l")));
    EXPECT_EQ(status.error_number(), ENOMEM);
    EXPECT_EQ(queue->name(), "io_uring");
  }));
}

// SIGXFSZ kills by default; the engine's threads block all signals, so a write gets EFBIG instead.
class FileSizeLimit : public Restrictions, public testing::WithParamInterface<std::string> {};

TEST_P(FileSizeLimit, is_an_error_and_not_the_end_of_the_process) {
  if (make_queue(GetParam(), 1) == nullptr) GTEST_SKIP() << GetParam() << " is not to be had";
  for (const bool has_allocate : {true, false}) {
    SCOPED_TRACE(has_allocate ? "found by fallocate" : "found by a write");
    EXPECT_TRUE(passes_in_child([&] {
      FaultInjector injector;
      FaultFileSystem faulty(posix_file_system(), injector);
      if (!has_allocate) injector.fail_named("allocate", EOPNOTSUPP, 0, 100);
      EngineOptions options{.direct_io = DirectIo::off, .file_system = &faulty};
      options.make_write_queue = [] {
        return Result<std::unique_ptr<WriteQueue>>(make_queue(GetParam(), 4));
      };
      auto engine = make_small_engine(std::move(options));
      expect_saves(*engine, 1);
      set_limit(RLIMIT_FSIZE, 128 << 10);
      const Status status = SeededSave(2).run(*engine, path());
      EXPECT_EQ(status.error_number(), EFBIG);
      EXPECT_THAT(status, IsStatus(StatusCode::io_error, HasSubstr("ulimit -f")));
      EXPECT_THAT(status,
                  IsStatus(StatusCode::io_error, HasSubstr(has_allocate ? "fallocate" : "write")));
      EXPECT_TRUE(SeededSave(1).is_held_by(path()));
      EXPECT_THAT(directory_.names(), ElementsAre("x.pth"));
      set_limit(RLIMIT_FSIZE, RLIM_INFINITY);
      expect_saves(*engine, 3);
    }));
  }
}

INSTANTIATE_TEST_SUITE_P(Queues, FileSizeLimit, testing::ValuesIn(queue_names()),
                         [](const auto& param) { return param.param; });

TEST_F(Restrictions, too_many_open_files_is_an_error_and_later_saves_work) {
#ifdef __SANITIZE_ADDRESS__
  // UBSan asks a pipe whether it may read an object: without descriptors each looks wrong to it.
  GTEST_SKIP() << "UBSan needs file descriptors of its own";
#endif
  EXPECT_TRUE(passes_in_child([&] {
    auto engine = make_small_engine();
    expect_saves(*engine, 1);
    std::vector<int> taken;
    set_limit(RLIMIT_NOFILE, 64);
    for (int number = 0; (number = ::open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0;) {
      taken.push_back(number);
    }
    // With 0 to 3 free descriptors, the save gets further each time; with more it succeeds.
    int refused = 0;
    for (uint64_t seed = 2;; ++seed) {
      const Status status = SeededSave(seed).run(*engine, path());
      if (status.is_ok()) break;
      ++refused;
      EXPECT_EQ(status.error_number(), EMFILE);
      EXPECT_THAT(status, IsStatus(StatusCode::resource_exhausted, HasSubstr("ulimit -n")));
      ASSERT_FALSE(taken.empty());
      ::close(taken.back());
      taken.pop_back();
      EXPECT_TRUE(SeededSave(1).is_held_by(path()));
    }
    EXPECT_GE(refused, 1);
    for (const int number : taken) ::close(number);
    expect_saves(*engine, 100);
    std::cout << refused << " saves refused for want of descriptors\n";
  }));
}

uint64_t mapped_bytes() {
  uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * kPageBytes;
}

TEST_F(Restrictions, an_error_keeps_its_errno_where_its_text_needs_memory) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "AddressSanitizer maps memory of its own";
#endif
  EXPECT_TRUE(passes_in_child([&] {
    const auto parent = posix_file_system().open_directory(directory_.path());
    ASSERT_OK(parent);
    // A new thread asks the kernel for a heap of its own first. Refused, it takes from the common
    // one, and leaves ENOMEM in errno.
    std::latch is_limited{1};
    Status missing;
    std::thread asker([&] {
      is_limited.wait();
      missing = (*parent)->info("missing").status();
    });
    set_limit(RLIMIT_AS, mapped_bytes() + (4 << 20));  // a heap would take 64 MiB
    is_limited.count_down();
    asker.join();
    EXPECT_THAT(missing, IsStatus(StatusCode::not_found, HasSubstr("ENOENT")));
  }));
}

}  // namespace
}  // namespace tintype
