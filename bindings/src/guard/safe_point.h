// Moments at which a thread of Python's runs no operation of torch. One that runs gives the GIL
// away and counts its change of a tensor only when it is over, so that who merely takes the GIL can
// look too early.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <ctime>
#include <functional>
#include <memory>

namespace tintype::python {

// How deep the calling thread is in calls into the package. Each first call answers what other
// threads want to be looked at between two operations of this thread. Need the GIL.
void enter_package();
void leave_package();

// A thread as others see it, also when it is gone.
class ObservedThread {
 public:
  static ObservedThread current();

  // Calls `look` with the GIL held, here or on the observed thread, when that has left every
  // operation that it was in at this call: it is within a call into the package, between two
  // bytecodes of the interpreter's main thread, waits for the GIL, or is gone. Waits for that as
  // long as the thread computes, would if it had a core, waits for a disk or for threads that do
  // its work, 10 s at most; then, and where it sleeps for 0.1 s in a call that only waits, `look`
  // is called anyway. Not called at all once the interpreter ends. REQUIRES: the GIL is not held;
  // within an ActiveCall.
  void look_between_operations(const std::function<void()>& look) const;

 private:
  std::shared_ptr<std::atomic<int>> package_calls_;
  clockid_t cpu_clock_ = CLOCK_THREAD_CPUTIME_ID;
  pid_t id_ = 0;             // the system's
  unsigned long ident_ = 0;  // Python's
};

}  // namespace tintype::python
