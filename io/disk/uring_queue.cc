#include <poll.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <fmt/format.h>
#include <liburing.h>

#include "base/check.h"
#include "io/disk/backend.h"
#include "io/disk/process_registry.h"

namespace tintype {
namespace {

constexpr size_t kTransferBytesMax = 0x7ffff000;         // MAX_RW_COUNT of the kernel
constexpr size_t kRegisteredBytesMax = size_t{1} << 30;  // per buffer, fixed by the kernel
constexpr int kSubmitTriesMax = 1000;                    // a millisecond each
constexpr uint64_t kIgnoredToken = ~uint64_t{0};

// Completions and wake() both signal one eventfd, which reap() polls: so it never waits inside the
// ring, where an empty one would keep it for ever.
class UringQueue final : public WriteQueue {
 public:
  static Result<std::unique_ptr<WriteQueue>> make(uint32_t depth);
  ~UringQueue() override;

  size_t depth() const override { return depth_; }
  Status submit(const WriteRequest& request) override;
  Status reap(std::vector<WriteCompletion>& completions,
              std::chrono::milliseconds timeout) override;
  void wake() override;
  Status register_buffers(std::span<const MutableBytes> buffers) override;
  std::string name() const override { return is_registered_ ? "io_uring+registered" : "io_uring"; }

 private:
  UringQueue() = default;
  Status start(uint32_t depth);
  Status try_round_trip();
  void prepare(io_uring_sqe& sqe, const WriteRequest& request) const;
  int submit_prepared(io_uring_sqe& sqe);
  void harvest();
  bool hand_out(std::vector<WriteCompletion>& completions);
  std::optional<int> registered_index(ByteView data) const;
  bool is_usable() const { return ring_descriptor_ != nullptr && ring_descriptor_->is_open(); }

  io_uring ring_ = {};
  // ring_.ring_fd once more, to be closed in forked children.
  std::unique_ptr<Descriptor> ring_descriptor_;
  std::unique_ptr<Descriptor> event_;
  size_t depth_ = 0;
  size_t in_flight_ = 0;
  std::vector<WriteCompletion> harvested_;
  std::vector<iovec> registered_;            // ordered by address
  std::atomic<bool> is_registered_ = false;  // name() is asked from other threads
  std::atomic<bool> is_woken_ = false;
};

// Why there is no ring, in words an operator can act on.
Status refusal(int error_number, std::string_view operation) {
  std::string_view cause = "the kernel refused";
  switch (error_number) {
    case EPERM:
    case EACCES: cause = "blocked by seccomp or kernel.io_uring_disabled"; break;
    case ENOSYS: cause = "this kernel has no io_uring, or a sandbox hides it"; break;
    case ENOMEM: cause = "no memory may be locked (ulimit -l)"; break;
    case EMFILE:
    case ENFILE: cause = "too many open files (ulimit -n)"; break;
    default: break;
  }
  return {StatusCode::unsupported,
          fmt::format("io_uring is not used: {} ({} [{}, errno {}])", cause, operation,
                      errno_name(error_number), error_number),
          error_number};
}

// The ring is made on one thread and used by another, so SINGLE_ISSUER (and DEFER_TASKRUN, which
// needs it) would bind it to the wrong one.
Status UringQueue::start(uint32_t depth) {
  depth_ = std::max<uint32_t>(depth, 1);
  int result = 0;
  ring_descriptor_ = std::make_unique<Descriptor>([&] {
    io_uring_params parameters = {};
    // One more entry than writes: a request that could not be submitted stays behind as a no-op.
    result = io_uring_queue_init_params(static_cast<unsigned>(depth_) + 1, &ring_, &parameters);
    if (result != 0) errno = -result;
    return result == 0 ? ring_.ring_fd : -1;
  });
  if (result != 0) return refusal(-result, "io_uring_setup");
  if ((ring_.features & IORING_FEAT_NODROP) == 0) {
    return Status::unsupported("io_uring is not used: this kernel's ring may drop completions");
  }
  event_ = std::make_unique<Descriptor>([] { return ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); });
  if (!event_->is_open()) return refusal(event_->open_error(), "eventfd");
  result = io_uring_register_eventfd(&ring_, event_->number());
  if (result != 0) return refusal(-result, "io_uring_register");
  io_uring_ring_dontfork(&ring_);
  return try_round_trip();
}

// A sandbox may allow io_uring_setup and block io_uring_enter.
Status UringQueue::try_round_trip() {
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  TINTYPE_CHECK(sqe != nullptr);
  io_uring_prep_nop(sqe);
  sqe->user_data = kIgnoredToken;
  const int submitted = io_uring_submit(&ring_);
  if (submitted < 0) return refusal(-submitted, "io_uring_enter");
  harvest();
  return Status::ok();
}

Result<std::unique_ptr<WriteQueue>> UringQueue::make(uint32_t depth) {
  std::unique_ptr<UringQueue> queue(new UringQueue());
  TINTYPE_RETURN_IF_ERROR(queue->start(depth));
  return std::unique_ptr<WriteQueue>(std::move(queue));
}

UringQueue::~UringQueue() {
  if (!is_usable()) return;  // never opened, or a forked child's copy
  TINTYPE_CHECK(in_flight_ == 0);
  ring_.ring_fd = ring_descriptor_->release();
  io_uring_queue_exit(&ring_);
}

std::optional<int> UringQueue::registered_index(ByteView data) const {
  const auto* first = data.data();
  const auto after = std::upper_bound(
      registered_.begin(), registered_.end(), first,
      [](const std::byte* address, const iovec& buffer) { return address < buffer.iov_base; });
  if (after == registered_.begin()) return std::nullopt;
  const iovec& buffer = *std::prev(after);
  const auto offset = static_cast<size_t>(first - static_cast<const std::byte*>(buffer.iov_base));
  if (offset + data.size() > buffer.iov_len) return std::nullopt;
  return static_cast<int>(std::prev(after) - registered_.begin());
}

void UringQueue::prepare(io_uring_sqe& sqe, const WriteRequest& request) const {
  const auto size = static_cast<unsigned>(std::min(request.data.size(), kTransferBytesMax));
  const auto index = registered_index(request.data);
  if (index.has_value()) {
    io_uring_prep_write_fixed(&sqe, request.file->descriptor(), request.data.data(), size,
                              request.offset, *index);
  } else {
    io_uring_prep_write(&sqe, request.file->descriptor(), request.data.data(), size,
                        request.offset);
  }
  sqe.user_data = request.token;
}

Status UringQueue::submit(const WriteRequest& request) {
  if (!is_usable()) return Status::internal("this write queue belongs to the parent process");
  TINTYPE_CHECK(in_flight_ < depth_ && request.token != kIgnoredToken);
  io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
  if (sqe == nullptr) return errno_status(EBUSY, "io_uring submit", request.file->path());
  prepare(*sqe, request);
  const int error_number = submit_prepared(*sqe);
  if (error_number != 0) return errno_status(error_number, "io_uring submit", request.file->path());
  ++in_flight_;
  return Status::ok();
}

// EBUSY: completions must be taken first. EAGAIN: the kernel is short of memory; time helps,
// waiting for a completion might not, as there may be none. Returns an errno, 0 for success.
int UringQueue::submit_prepared(io_uring_sqe& sqe) {
  int result = 0;
  for (int i = 0; i < kSubmitTriesMax; ++i) {
    result = io_uring_submit(&ring_);
    if (result >= 1) return 0;
    if (result != -EINTR && result != -EBUSY && result != -EAGAIN && result != 0) break;
    harvest();
    if (result != -EINTR) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  // The entry already lies in the ring: it may still be consumed, but must not write any more.
  io_uring_prep_nop(&sqe);
  sqe.user_data = kIgnoredToken;
  return result == 0 ? EAGAIN : -result;
}

void UringQueue::harvest() {
  io_uring_cqe* cqe = nullptr;
  while (io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe != nullptr) {
    if (cqe->user_data != kIgnoredToken) {
      harvested_.push_back({.token = cqe->user_data, .result = cqe->res});
    }
    io_uring_cqe_seen(&ring_, cqe);
  }
}

bool UringQueue::hand_out(std::vector<WriteCompletion>& completions) {
  harvest();
  in_flight_ -= harvested_.size();
  completions.insert(completions.end(), harvested_.begin(), harvested_.end());
  const bool has_any = !harvested_.empty();
  harvested_.clear();
  return has_any;
}

Status UringQueue::reap(std::vector<WriteCompletion>& completions,
                        std::chrono::milliseconds timeout) {
  if (!is_usable()) return Status::internal("this write queue belongs to the parent process");
  using SteadyClock = std::chrono::steady_clock;
  const auto deadline = SteadyClock::now() + timeout;
  for (;;) {
    const bool is_woken = is_woken_.exchange(false);
    if (hand_out(completions) || is_woken) return Status::ok();
    const auto rest = std::chrono::ceil<std::chrono::milliseconds>(deadline - SteadyClock::now());
    if (rest.count() <= 0) return Status::ok();
    pollfd event = {.fd = event_->number(), .events = POLLIN, .revents = 0};
    const auto wait_ms = std::min<int64_t>(rest.count(), 60'000);
    if (::poll(&event, 1, static_cast<int>(wait_ms)) < 0 && errno != EINTR) {
      return errno_status(errno, "poll", "io_uring eventfd");
    }
    uint64_t count = 0;
    // Emptied before the ring is looked at again, so that no later signal is lost.
    static_cast<void>(!::read(event_->number(), &count, sizeof count));
  }
}

void UringQueue::wake() {
  is_woken_ = true;
  const uint64_t one = 1;
  // Fails only when the counter is full, and then poll() returns anyway.
  static_cast<void>(!::write(event_->number(), &one, sizeof one));
}

Status UringQueue::register_buffers(std::span<const MutableBytes> buffers) {
  if (!is_usable()) return Status::internal("this write queue belongs to the parent process");
  if (is_registered_.exchange(false)) io_uring_unregister_buffers(&ring_);
  registered_.clear();
  uint64_t total_bytes = 0;
  for (MutableBytes buffer : buffers) {
    total_bytes += buffer.size();
    for (; !buffer.empty(); buffer = buffer.subspan(registered_.back().iov_len)) {
      registered_.push_back({buffer.data(), std::min(buffer.size(), kRegisteredBytesMax)});
    }
  }
  if (registered_.empty()) return Status::ok();
  std::sort(registered_.begin(), registered_.end(),
            [](const iovec& a, const iovec& b) { return a.iov_base < b.iov_base; });
  const int result = io_uring_register_buffers(&ring_, registered_.data(),
                                               static_cast<unsigned>(registered_.size()));
  if (result == 0) {
    is_registered_ = true;
    return Status::ok();
  }
  registered_.clear();
  return Status(StatusCode::resource_exhausted,
                fmt::format("io_uring buffers are not registered: {} bytes refused [{}, errno {}]",
                            total_bytes, errno_name(-result), -result),
                -result)
      .with_remedy("raise `ulimit -l` to use them");
}

}  // namespace

Result<std::unique_ptr<WriteQueue>> make_uring_write_queue(uint32_t depth) {
  return UringQueue::make(depth);
}

}  // namespace tintype
