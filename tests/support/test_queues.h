// The write queues that this machine has, by name, for value-parameterized tests.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "io/disk/backend.h"

namespace tintype {

inline std::unique_ptr<WriteQueue> make_queue(const std::string& name, uint32_t depth) {
  if (name == "pwrite") return make_pwrite_queue(depth, 3);
  auto queue = make_uring_write_queue(depth);
  return queue.is_ok() ? std::move(queue).value() : nullptr;
}

inline std::vector<std::string> queue_names() { return {"pwrite", "io_uring"}; }

}  // namespace tintype
