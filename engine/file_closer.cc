#include "engine/file_closer.h"

#include <utility>

#include "base/threads.h"

namespace tintype {

FileCloser::FileCloser() {
  thread_ = start_thread("tintype-close", [this] { run(); });
}

FileCloser::~FileCloser() {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void FileCloser::close(std::unique_ptr<File> file) {
  if (file == nullptr) return;
  {
    std::lock_guard lock(mutex_);
    files_.push_back(std::move(file));
  }
  changed_.notify_all();
}

void FileCloser::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return is_stopping_ || !files_.empty(); });
    if (files_.empty()) return;
    auto file = std::move(files_.front());
    files_.pop_front();
    lock.unlock();
    file.reset();
    lock.lock();
  }
}

}  // namespace tintype
