#include "engine/file_closer.h"

#include <pthread.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <utility>

#include "base/log.h"
#include "base/threads.h"

namespace tintype {
namespace {

constexpr std::chrono::milliseconds kLookInterval{1};

// Files that a closer has taken and not closed yet, of all closers. A forked child has none of the
// threads.
std::atomic<size_t>& left_count() {
  static std::atomic<size_t> count = 0;
  static const int kIsRegistered = ::pthread_atfork(nullptr, nullptr, [] { left_count() = 0; });
  static_cast<void>(kIsRegistered);
  return count;
}

}  // namespace

struct FileCloser::Queue {
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::unique_ptr<File>> files;  // guarded by mutex
  bool is_stopping = false;                 // guarded by mutex
  bool has_stopped = false;                 // guarded by mutex
};

FileCloser::FileCloser(std::chrono::milliseconds patience)
    : patience_(patience), queue_(std::make_shared<Queue>()) {
  auto thread = start_thread("tintype-close", [queue = queue_] { run(*queue); });
  if (thread.is_ok()) thread_ = std::move(*thread);
}

FileCloser::~FileCloser() {
  if (!thread_.joinable()) return;
  std::unique_lock lock(queue_->mutex);
  queue_->is_stopping = true;
  queue_->changed.notify_all();
  if (queue_->changed.wait_for(lock, patience_, [&] { return queue_->has_stopped; })) {
    lock.unlock();
    thread_.join();
    return;
  }
  log_warning("a file that takes long to close is left to a thread: does its disk hang?");
  thread_.detach();
}

void FileCloser::close(std::unique_ptr<File> file) {
  if (file == nullptr || !thread_.joinable()) return;
  {
    std::lock_guard lock(queue_->mutex);
    if (queue_->files.size() >= kMaxWaiting) return;  // `file` closes as this returns, unlocked
    queue_->files.push_back(std::move(file));
    ++left_count();
  }
  queue_->changed.notify_all();
}

void FileCloser::wait_for_all(std::chrono::milliseconds patience) {
  const auto deadline = std::chrono::steady_clock::now() + patience;
  while (left_count() != 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(kLookInterval);
  }
}

void FileCloser::run(Queue& queue) {
  std::unique_lock lock(queue.mutex);
  for (;;) {
    queue.changed.wait(lock, [&] { return queue.is_stopping || !queue.files.empty(); });
    if (queue.files.empty()) break;
    auto file = std::move(queue.files.front());
    queue.files.pop_front();
    lock.unlock();
    file.reset();
    --left_count();
    lock.lock();
  }
  queue.has_stopped = true;
  queue.changed.notify_all();
}

}  // namespace tintype
