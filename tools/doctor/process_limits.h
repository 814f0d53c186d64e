// What the kernel and whoever started this process allow it.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <string>

namespace tintype::doctor {

struct ProcessLimits {
  rlim_t memlock_bytes = RLIM_INFINITY;
  rlim_t file_size_bytes = RLIM_INFINITY;
  rlim_t open_file_count = RLIM_INFINITY;
  bool may_lock_any_memory = false;  // CAP_IPC_LOCK: memlock_bytes does not count
  bool has_seccomp_filter = false;
  // kernel.io_uring_disabled: 0 allowed, 1 for a group and CAP_SYS_ADMIN only, 2 for nobody; 0
  // where the kernel does not know it.
  int io_uring_disabled = 0;
  std::string kernel_release;
};

ProcessLimits read_process_limits();

}  // namespace tintype::doctor
