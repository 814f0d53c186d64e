// The part of a save that does not wait: what the background may not read any more is copied before
// the call returns.
#pragma once

#include <functional>

#include "base/status.h"
#include "engine/copy_crew.h"
#include "engine/early_buffer.h"
#include "engine/save_job.h"

namespace tintype {

// True where all of the save that lies on devices is in slabs by now, and the rest is so little
// that nobody should be held for it: the step counters and random states of a job on GPUs.
bool is_rest_small(const SaveJob& job);

// Copies every storage that is not lazy (and not in a slab) into the buffer, and makes the request
// name that memory from now on. Copies from devices may still be `in_flight` on return, ordered
// before later work on their streams. `is_stopped` is asked at least every 50 ms.
Status copy_early(SaveJob& job, EarlyBuffer& buffer, CopyCrew& crew, CopiesInFlight& in_flight,
                  const std::function<bool()>& is_stopped);

}  // namespace tintype
