#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <memory>
#include <mutex>
#include <vector>

#include "base/check.h"
#include "base/threads.h"
#include "io/disk/backend.h"

namespace tintype {
namespace {

class PwriteQueue final : public WriteQueue {
 public:
  PwriteQueue(uint32_t depth, uint32_t thread_count);
  ~PwriteQueue() override;

  size_t depth() const override { return shared_->depth; }
  Status submit(const WriteRequest& request) override;
  Status reap(std::vector<WriteCompletion>& completions,
              std::chrono::milliseconds timeout) override;
  void wake() override;
  Status register_buffers(std::span<const MutableBytes>) override {
    return Status::unsupported("the pwrite backend has no use for registered buffers");
  }
  std::string name() const override { return "pwrite"; }

 private:
  struct Shared {
    const size_t depth;
    std::mutex mutex;
    std::condition_variable work_came;
    std::condition_variable work_done;
    std::deque<WriteRequest> requests;         // guarded by mutex
    std::vector<WriteCompletion> completions;  // guarded by mutex
    size_t in_flight = 0;                      // guarded by mutex; not yet reaped
    bool is_woken = false;                     // guarded by mutex
    bool is_stopping = false;                  // guarded by mutex
    ThreadGroup threads;  // none where the system gave none: submit() writes then

    explicit Shared(size_t depth_wanted) : depth(depth_wanted) {}
    void complete(const WriteRequest& request);
  };
  static void run(Shared& shared);
  static int64_t perform(const WriteRequest& request);

  const pid_t process_ = ::getpid();
  std::unique_ptr<Shared> shared_;
};

PwriteQueue::PwriteQueue(uint32_t depth, uint32_t thread_count)
    : shared_(std::make_unique<Shared>(std::max<size_t>(depth, 1))) {
  const size_t count = std::clamp<size_t>(thread_count, 1, shared_->depth);
  shared_->threads.fill_up_to(count, "tintype-pwrite", [shared = shared_.get()] { run(*shared); });
}

PwriteQueue::~PwriteQueue() {
  if (process_ != ::getpid()) {
    static_cast<void>(shared_.release());  // the threads stayed in the parent: nothing to join
    return;
  }
  {
    std::lock_guard lock(shared_->mutex);
    TINTYPE_CHECK(shared_->in_flight == 0);
    shared_->is_stopping = true;
  }
  shared_->work_came.notify_all();
  shared_->threads.join();
}

Status PwriteQueue::submit(const WriteRequest& request) {
  if (process_ != ::getpid()) return Status::internal("this write queue belongs to the parent");
  {
    std::lock_guard lock(shared_->mutex);
    TINTYPE_CHECK(shared_->in_flight < shared_->depth);
    ++shared_->in_flight;
    if (!shared_->threads.empty()) shared_->requests.push_back(request);
  }
  if (shared_->threads.empty()) {
    shared_->complete(request);
    return Status::ok();
  }
  // Not notify_one(): with several waiters glibc before 2.41 may lose it (its bug 25847).
  shared_->work_came.notify_all();
  return Status::ok();
}

Status PwriteQueue::reap(std::vector<WriteCompletion>& completions,
                         std::chrono::milliseconds timeout) {
  if (process_ != ::getpid()) return Status::internal("this write queue belongs to the parent");
  std::unique_lock lock(shared_->mutex);
  shared_->work_done.wait_for(
      lock, timeout, [this] { return shared_->is_woken || !shared_->completions.empty(); });
  shared_->is_woken = false;
  shared_->in_flight -= shared_->completions.size();
  std::move(shared_->completions.begin(), shared_->completions.end(),
            std::back_inserter(completions));
  shared_->completions.clear();
  return Status::ok();
}

void PwriteQueue::wake() {
  {
    std::lock_guard lock(shared_->mutex);
    shared_->is_woken = true;
  }
  shared_->work_done.notify_one();
}

void PwriteQueue::run(Shared& shared) {
  std::unique_lock lock(shared.mutex);
  for (;;) {
    shared.work_came.wait(lock, [&] { return shared.is_stopping || !shared.requests.empty(); });
    if (shared.requests.empty()) return;
    const WriteRequest request = shared.requests.front();
    shared.requests.pop_front();
    lock.unlock();
    shared.complete(request);
    lock.lock();
  }
}

void PwriteQueue::Shared::complete(const WriteRequest& request) {
  const int64_t result = perform(request);
  std::lock_guard lock(mutex);
  completions.push_back({.token = request.token, .result = result});
  work_done.notify_one();
}

int64_t PwriteQueue::perform(const WriteRequest& request) {
  const auto written = request.file->write_at(request.data, request.offset);
  if (written.is_ok()) return static_cast<int64_t>(*written);
  const int error_number = written.status().error_number();
  return -(error_number != 0 ? error_number : EIO);
}

}  // namespace

std::unique_ptr<WriteQueue> make_pwrite_queue(uint32_t depth, uint32_t thread_count) {
  return std::make_unique<PwriteQueue>(depth, thread_count);
}

}  // namespace tintype
