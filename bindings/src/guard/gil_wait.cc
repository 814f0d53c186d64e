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

}  // namespace

// Lines as "202 0x7f0012345678 0x189 ...": the call that the thread sleeps in and its arguments,
// here the word that it waits for. See proc(5).
bool waits_for_gil(pid_t thread) {
  static const Region kRuntime = find_runtime();
  std::ifstream file(fmt::format("/proc/self/task/{}/syscall", thread));
  std::string line;
  std::getline(file, line);
  int64_t call = -1;
  uint64_t word = 0;
  if (std::sscanf(line.c_str(), "%" SCNd64 " %" SCNx64, &call, &word) != 2) return false;
  return call == SYS_futex && word >= kRuntime.begin && word < kRuntime.end;
}

}  // namespace tintype::python
