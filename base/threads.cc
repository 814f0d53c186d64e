#include "base/threads.h"

#include <string>

namespace tintype {

Status thread_refusal(const char* name, int error_number) {
  return errno_status(
             error_number, "start thread", name,
             "the limit of threads is reached: raise `ulimit -u`, `ulimit -v` or the cgroup's "
             "pids.max")
      .with_code(StatusCode::resource_exhausted);
}

}  // namespace tintype
