#include "engine/copy_crew.h"

namespace tintype {

CopyCrew::CopyCrew(unsigned helper_count) {
  helpers_.fill_up_to(helper_count, "tintype-copy", [this] { help(); });
}

CopyCrew::~CopyCrew() {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  started_.notify_all();
  helpers_.join();
}

void CopyCrew::run(const std::function<void(bool)>& body,
                   const std::function<void()>& while_waiting) {
  {
    std::lock_guard lock(mutex_);
    body_ = &body;
    running_ = static_cast<unsigned>(helpers_.size());
    ++round_;
  }
  started_.notify_all();
  body(true);
  std::unique_lock lock(mutex_);
  while (!finished_.wait_for(lock, kInterruptPeriod, [&] { return running_ == 0; })) {
    lock.unlock();
    while_waiting();
    lock.lock();
  }
  body_ = nullptr;
}

void CopyCrew::help() {
  uint64_t last_round = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    started_.wait(lock, [&] { return is_stopping_ || round_ != last_round; });
    if (is_stopping_) return;
    last_round = round_;
    const auto& body = *body_;
    lock.unlock();
    body(false);
    lock.lock();
    if (--running_ == 0) finished_.notify_all();
  }
}

}  // namespace tintype
