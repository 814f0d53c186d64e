// io_uring and its registered buffers: whether the engine gets them, and if not, why.
#pragma once

#include <memory>
#include <vector>

#include "io/disk/write_queue.h"
#include "tools/doctor/finding.h"
#include "tools/doctor/process_limits.h"

namespace tintype::doctor {

// `refusal` is what make_uring_write_queue() answered.
Finding judge_ring(const Status& refusal, const ProcessLimits& limits);
// `answer` is what register_buffers() said to `size_bytes`.
Finding judge_registration(const Status& answer, uint64_t size_bytes, const ProcessLimits& limits);

struct RingExamination {
  std::unique_ptr<WriteQueue> queue;  // what the engine would write with here
  std::vector<Finding> findings;
};

// Makes a ring and registers as much memory as the engine's smallest pool has.
RingExamination examine_ring(const ProcessLimits& limits);

}  // namespace tintype::doctor
