// Chooses the fastest write queue this process may use, once, and says why not a faster one.
#pragma once

#include <memory>
#include <string>

#include "io/disk/write_queue.h"

namespace tintype {

// Fails with `unsupported` and the cause (seccomp, sysctl, kernel) where io_uring is not to be had.
Result<std::unique_ptr<WriteQueue>> make_uring_write_queue(uint32_t depth);
// Threads that call File::write_at: works with every FileSystem, simulated ones too.
std::unique_ptr<WriteQueue> make_pwrite_queue(uint32_t depth, uint32_t thread_count);

struct ChosenBackend {
  std::unique_ptr<WriteQueue> queue;
  std::string note;  // why a faster one is not used; empty for the best
};
ChosenBackend choose_write_queue(uint32_t depth);

}  // namespace tintype
