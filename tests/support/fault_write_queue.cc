#include "tests/support/fault_write_queue.h"

#include <algorithm>
#include <cerrno>
#include <iterator>

namespace tintype {
namespace {

constexpr std::chrono::milliseconds kGatePeriod{5};

}  // namespace

Status FaultWriteQueue::submit(const WriteRequest& request) {
  const WriteFault fault = rule_(request, index_++);
  if (fault.kind != WriteFault::Kind::none) ++fired_;
  switch (fault.kind) {
    case WriteFault::Kind::none: return inner_->submit(request);
    case WriteFault::Kind::result:
      made_up_.push_back({.token = request.token, .result = fault.result});
      return Status::ok();
    case WriteFault::Kind::refused_submit:
      return errno_status(static_cast<int>(-fault.result), "submit", request.file->path());
    case WriteFault::Kind::held: held_.push_back({request, fault.gate}); return Status::ok();
    case WriteFault::Kind::short_write: break;
  }
  WriteRequest part = request;
  part.data = part.data.first(std::min(fault.passed_bytes, part.data.size()));
  return inner_->submit(part);
}

Status FaultWriteQueue::reap(std::vector<WriteCompletion>& completions,
                             std::chrono::milliseconds timeout) {
  TINTYPE_RETURN_IF_ERROR(submit_released());
  if (!made_up_.empty()) timeout = std::chrono::milliseconds(0);
  if (!held_.empty()) timeout = std::min(timeout, kGatePeriod);
  const Status status = inner_->reap(completions, timeout);
  std::move(made_up_.begin(), made_up_.end(), std::back_inserter(completions));
  made_up_.clear();
  return status;
}

Status FaultWriteQueue::submit_released() {
  const auto first = std::stable_partition(held_.begin(), held_.end(),
                                           [](const Held& held) { return !held.gate->is_open(); });
  const std::vector<Held> released(first, held_.end());
  held_.erase(first, held_.end());
  for (const Held& held : released) TINTYPE_RETURN_IF_ERROR(inner_->submit(held.request));
  return Status::ok();
}

FaultWriteQueue::Rule random_write_faults(uint64_t seed, unsigned percent) {
  return [random = std::mt19937_64(seed), percent](const WriteRequest& request, uint64_t) mutable {
    if (random() % 100 >= percent || request.data.size() < 2) return WriteFault{};
    switch (random() % 3) {
      case 0: return WriteFault{.kind = WriteFault::Kind::result, .result = -EAGAIN};
      case 1: return WriteFault{.kind = WriteFault::Kind::result, .result = -EINTR};
      default: break;
    }
    return WriteFault{.kind = WriteFault::Kind::short_write,
                      .passed_bytes = 1 + random() % (request.data.size() - 1)};
  };
}

}  // namespace tintype
