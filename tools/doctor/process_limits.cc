#include "tools/doctor/process_limits.h"

#include <linux/capability.h>
#include <sys/utsname.h>

#include <fstream>
#include <limits>

namespace tintype::doctor {
namespace {

rlim_t soft_limit(__rlimit_resource resource) {
  struct rlimit limit = {};
  return ::getrlimit(resource, &limit) == 0 ? limit.rlim_cur : RLIM_INFINITY;
}

// Capabilities and the seccomp mode, as proc(5) describes /proc/PID/status.
void read_own_status(ProcessLimits& limits) {
  std::ifstream status("/proc/self/status");
  std::string key;
  while (status >> key) {
    if (key == "CapEff:") {
      uint64_t capabilities = 0;
      status >> std::hex >> capabilities >> std::dec;
      limits.may_lock_any_memory = (capabilities >> CAP_IPC_LOCK & 1) != 0;
    } else if (key == "Seccomp:") {
      int mode = 0;
      status >> mode;
      limits.has_seccomp_filter = mode == 2;
    }
    status.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
}

}  // namespace

ProcessLimits read_process_limits() {
  ProcessLimits limits;
  limits.memlock_bytes = soft_limit(RLIMIT_MEMLOCK);
  limits.file_size_bytes = soft_limit(RLIMIT_FSIZE);
  limits.open_file_count = soft_limit(RLIMIT_NOFILE);
  read_own_status(limits);
  std::ifstream("/proc/sys/kernel/io_uring_disabled") >> limits.io_uring_disabled;
  struct utsname name = {};
  if (::uname(&name) == 0) limits.kernel_release = name.release;
  return limits;
}

}  // namespace tintype::doctor
