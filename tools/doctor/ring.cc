#include "tools/doctor/ring.h"

#include <algorithm>
#include <cerrno>
#include <thread>

#include <fmt/format.h>

#include "engine/engine.h"
#include "engine/memory_budget.h"
#include "engine/slot_pool.h"
#include "io/disk/backend.h"
#include "tools/sizes.h"

namespace tintype::doctor {
namespace {

constexpr uint32_t kPwriteThreads = 4;

constexpr std::string_view kRingCost =
    "threads with pwrite do the writing: the same files and promises, more CPU time, a lower rate "
    "on fast disks";
constexpr std::string_view kRegistrationCost =
    "the kernel pins the pages of every write anew: more CPU time per GiB";
constexpr std::string_view kMemlockRemedy =
    "`ulimit -l unlimited` (systemd: LimitMEMLOCK=infinity; containers: --ulimit memlock=-1; "
    "logins: memlock in /etc/security/limits.conf), or grant CAP_IPC_LOCK";

struct Cause {
  std::string_view what;
  std::string_view remedy;
};

Cause cause_of_refusal(int error_number, const ProcessLimits& limits) {
  const bool is_denied = error_number == EPERM || error_number == EACCES;
  if (is_denied && limits.io_uring_disabled != 0) {
    return {"the administrator turned it off by the sysctl kernel.io_uring_disabled",
            "`sysctl -w kernel.io_uring_disabled=0` as root"};
  }
  if ((is_denied || error_number == ENOSYS) && limits.has_seccomp_filter) {
    return {"a seccomp filter hides it, as the default profiles of containers do",
            "start the container with a seccomp profile that allows io_uring_setup, io_uring_enter "
            "and io_uring_register"};
  }
  if (is_denied) {
    return {"a security module of the kernel forbids it",
            "allow io_uring in the SELinux or AppArmor policy of this process"};
  }
  switch (error_number) {
    case ENOSYS:
      return {"this kernel was built without it or is older than 5.5",
              "use a kernel from 5.5 on with CONFIG_IO_URING"};
    case ENOMEM: return {"this kernel counts rings as locked memory", kMemlockRemedy};
    case EMFILE:
    case ENFILE: return {"too many files are open", "raise `ulimit -n`"};
    default: return {"the kernel refused", "see the error and the kernel's log"};
  }
}

}  // namespace

Finding judge_ring(const Status& refusal, const ProcessLimits& limits) {
  if (refusal.is_ok()) {
    return found("io_uring", fmt::format("available, kernel {}", limits.kernel_release));
  }
  const int error_number = refusal.error_number();
  if (error_number == 0) {
    return missing("io_uring", std::string(refusal.message()), {kRingCost, "use a newer kernel"});
  }
  const Cause cause = cause_of_refusal(error_number, limits);
  Finding finding =
      missing("io_uring",
              fmt::format("{} [{}, errno {}]", cause.what, errno_name(error_number), error_number),
              {kRingCost, cause.remedy});
  finding.error_number = error_number;
  return finding;
}

Finding judge_registration(const Status& answer, uint64_t size_bytes, const ProcessLimits& limits) {
  const std::string limit = limits.may_lock_any_memory ? "no limit (CAP_IPC_LOCK)"
                            : limits.memlock_bytes == RLIM_INFINITY
                                ? "no limit"
                                : "limit " + format_size(limits.memlock_bytes);
  if (answer.is_ok()) {
    return found_amount("registered_buffers", size_bytes,
                        fmt::format("{} registered; {}", format_size(size_bytes), limit));
  }
  Finding finding =
      missing("registered_buffers",
              fmt::format("{} refused, {} [{}, errno {}]", format_size(size_bytes), limit,
                          errno_name(answer.error_number()), answer.error_number()),
              {kRegistrationCost, kMemlockRemedy});
  finding.error_number = answer.error_number();
  return finding;
}

namespace {

Finding register_smallest_pool(WriteQueue& queue, const ProcessLimits& limits) {
  const uint64_t extent_bytes = EngineOptions{}.extent_bytes;
  const uint64_t pool_bytes = staging_bytes_for(0, staging_budget_bytes());
  SlotPool pool(extent_bytes);
  const Status grown = pool.grow_to(std::max<uint64_t>(1, pool_bytes / extent_bytes));
  if (!grown.is_ok()) {
    return missing("registered_buffers", std::string(grown.message()),
                   {kRegistrationCost, "free memory, or raise this process's memory limit"});
  }
  pool.touch_all(std::max(1u, std::min(8u, std::thread::hardware_concurrency())));
  const Status answer = queue.register_buffers(pool.touched_regions());
  const Status released = queue.register_buffers({});  // before the pool goes
  return judge_registration(answer.is_ok() ? released : answer, pool.total_bytes(), limits);
}

}  // namespace

RingExamination examine_ring(const ProcessLimits& limits) {
  const uint32_t depth = EngineOptions{}.queue_depth;
  RingExamination result;
  auto ring = make_uring_write_queue(depth);
  result.findings.push_back(judge_ring(ring.status(), limits));
  if (ring.is_ok()) {
    result.queue = std::move(ring).value();
    result.findings.push_back(register_smallest_pool(*result.queue, limits));
  } else {
    result.queue = make_pwrite_queue(depth, kPwriteThreads);
    result.findings.push_back(missing("registered_buffers", "they need io_uring",
                                      {kRegistrationCost, "make io_uring available first"}));
  }
  return result;
}

}  // namespace tintype::doctor
