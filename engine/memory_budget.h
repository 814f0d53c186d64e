// How much staging memory this process may take.
#pragma once

#include <cstdint>

namespace tintype {

// min(MemAvailable, what the cgroup leaves); all bits set where neither is known.
uint64_t available_memory_bytes();

// A quarter of it, divided by LOCAL_WORLD_SIZE.
uint64_t staging_budget_bytes();

// The pool for a state whose images total `image_bytes`: 25 % more, at least 256 MiB, at most the
// budget.
uint64_t staging_bytes_for(uint64_t image_bytes, uint64_t budget_bytes);

}  // namespace tintype
