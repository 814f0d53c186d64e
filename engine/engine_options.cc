#include "engine/engine_options.h"

#include <unistd.h>

#include <algorithm>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/page_sizes.h"
#include "engine/memory_budget.h"

namespace tintype {
namespace {

constexpr uint64_t kSpareSlots = 4;  // slots beyond those that one save's copying threads hold
constexpr unsigned kThreadsMax = 8;
constexpr uint32_t kPwriteThreads = 4;
constexpr uint64_t kStallTimeoutMsMax = 1'000'000'000'000;

uint64_t machine_memory_bytes() {
  return static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
         static_cast<uint64_t>(::sysconf(_SC_PAGE_SIZE));
}

}  // namespace

Status check_options(const EngineOptions& options) {
  if (options.extent_bytes == 0 || options.extent_bytes % kDirectAlignmentBytes != 0) {
    return Status::invalid_argument(fmt::format("extent_bytes {} is not a positive multiple of {}",
                                                options.extent_bytes, kDirectAlignmentBytes));
  }
  if (options.queue_depth == 0 || options.queue_depth > 4096) {
    return Status::invalid_argument("queue_depth must be between 1 and 4096");
  }
  if (options.stall_timeout_ms > kStallTimeoutMsMax) {
    return Status::invalid_argument(
        fmt::format("stall_timeout_ms must be at most {}; 0 is for ever", kStallTimeoutMsMax));
  }
  if (options.max_in_flight == 0) {
    return Status::invalid_argument("max_in_flight must be at least 1");
  }
  if (options.staging_bytes != 0 && options.staging_bytes < kDirectAlignmentBytes) {
    return Status::invalid_argument("staging_bytes must be at least 4096");
  }
  if (options.staging_bytes > machine_memory_bytes()) {
    return Status::invalid_argument(
        fmt::format("staging_bytes {} is more than this machine's memory, {}",
                    options.staging_bytes, machine_memory_bytes()));
  }
  return Status::ok();
}

unsigned copy_thread_count(const EngineOptions& options) {
  if (options.copy_threads != 0) return options.copy_threads;
  return std::clamp(std::thread::hardware_concurrency(), 1u, kThreadsMax);
}

unsigned encode_thread_count(const EngineOptions& options) {
  if (options.encode_threads != 0) return options.encode_threads;
  return std::clamp(std::thread::hardware_concurrency(), 1u, kThreadsMax);
}

uint64_t fitting_extent_bytes(const EngineOptions& options, unsigned copy_threads) {
  uint64_t extent_bytes = options.extent_bytes;
  const uint64_t pool = options.staging_bytes != 0 ? options.staging_bytes
                                                   : staging_bytes_for(0, staging_budget_bytes());
  while (extent_bytes % (2 * kDirectAlignmentBytes) == 0 &&
         pool / extent_bytes < copy_threads + kSpareSlots) {
    extent_bytes /= 2;
  }
  return extent_bytes;
}

Result<ChosenBackend> make_backend(const EngineOptions& options) {
  if (options.make_write_queue) {
    TINTYPE_ASSIGN_OR_RETURN(auto queue, options.make_write_queue());
    return ChosenBackend{std::move(queue), ""};
  }
  // A simulated file has no descriptor for io_uring.
  if (options.backend == WriteBackend::pwrite || options.file_system != nullptr) {
    return ChosenBackend{make_pwrite_queue(options.queue_depth, kPwriteThreads), ""};
  }
  if (options.backend == WriteBackend::io_uring) {
    TINTYPE_ASSIGN_OR_RETURN(auto queue, make_uring_write_queue(options.queue_depth));
    return ChosenBackend{std::move(queue), ""};
  }
  return choose_write_queue(options.queue_depth);
}

}  // namespace tintype
