// What an engine makes of its options.
#pragma once

#include "engine/engine.h"
#include "io/disk/backend.h"

namespace tintype {

// Refuses what no engine can work with.
Status check_options(const EngineOptions& options);

// The caller's own thread counted.
unsigned copy_thread_count(const EngineOptions& options);

unsigned encode_thread_count(const EngineOptions& options);

// Halved until the pool has slots to spare, so that a small pool still overlaps copy and write.
uint64_t fitting_extent_bytes(const EngineOptions& options, unsigned copy_threads);

Result<ChosenBackend> make_backend(const EngineOptions& options);

}  // namespace tintype
