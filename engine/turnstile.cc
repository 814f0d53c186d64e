#include "engine/turnstile.h"

#include <algorithm>
#include <chrono>

namespace tintype {

bool Turnstile::enter(const std::function<bool()>& is_interrupted,
                      const std::function<bool()>& may_pass) {
  std::unique_lock lock(mutex_);
  const uint64_t ticket = next_ticket_++;
  waiting_.push_back(ticket);
  const auto is_my_turn = [&] { return !is_occupied_ && waiting_.front() == ticket && may_pass(); };
  while (!changed_.wait_for(lock, std::chrono::milliseconds(50), is_my_turn)) {
    lock.unlock();  // the check may need the GIL, which must never be waited for under a lock
    const bool stop = is_interrupted && is_interrupted();
    lock.lock();
    if (stop) {
      waiting_.erase(std::find(waiting_.begin(), waiting_.end(), ticket));
      changed_.notify_all();
      return false;
    }
  }
  waiting_.pop_front();
  is_occupied_ = true;
  return true;
}

void Turnstile::leave() {
  {
    std::lock_guard lock(mutex_);
    is_occupied_ = false;
  }
  changed_.notify_all();
}

void Turnstile::notify(const std::function<void()>& change) {
  {
    std::lock_guard lock(mutex_);
    change();
  }
  changed_.notify_all();
}

}  // namespace tintype
