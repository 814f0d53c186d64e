#include "bindings/src/guard/gil_wait.h"

#include <dlfcn.h>
#include <link.h>
#include <sys/syscall.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>

#include <fmt/format.h>

namespace tintype::python {
namespace {

struct Region {
  uint64_t begin = 0;
  uint64_t end = 0;
};

// The GIL of the main interpreter is part of the runtime's state, in every version so far.
Region find_runtime() {
  void* const runtime = ::dlsym(RTLD_DEFAULT, "_PyRuntime");
  Dl_info info;
  void* extra = nullptr;
  if (runtime == nullptr || ::dladdr1(runtime, &info, &extra, RTLD_DL_SYMENT) == 0) return {};
  const auto* const symbol = static_cast<const ElfW(Sym)*>(extra);
  if (symbol == nullptr || info.dli_saddr != runtime) return {};
  const auto begin = reinterpret_cast<uint64_t>(runtime);
  return {begin, begin + symbol->st_size};
}

// The system call that a thread sleeps in; negative where it runs.
struct Sleep {
  int64_t call = -1;
  uint64_t first_argument = 0;
};

// Lines as "202 0x7f0012345678 0x189 ...": the call and its arguments, of a futex the word that the
// thread waits for. See proc(5).
Sleep sleep_of(pid_t thread) {
  std::ifstream file(fmt::format("/proc/self/task/{}/syscall", thread));
  std::string line;
  std::getline(file, line);
  Sleep sleep;
  const int count =
      std::sscanf(line.c_str(), "%" SCNd64 " %" SCNx64, &sleep.call, &sleep.first_argument);
  return count == 2 ? sleep : Sleep{};
}

}  // namespace

bool waits_for_gil(pid_t thread) {
  static const Region kRuntime = find_runtime();
  const Sleep sleep = sleep_of(thread);
  return sleep.call == SYS_futex && sleep.first_argument >= kRuntime.begin &&
         sleep.first_argument < kRuntime.end;
}

bool sleeps_without_word(pid_t thread) {
  const Sleep sleep = sleep_of(thread);
  return sleep.call >= 0 && sleep.call != SYS_futex;
}

}  // namespace tintype::python
