// Starting background threads: named, and deaf to signals so that handlers run on the program's
// threads.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <cstdint>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/no_memory.h"
#include "base/status.h"

namespace tintype {

// A thread that is started meanwhile inherits the mask.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

template <typename Body>
std::thread start_thread(const char* name, Body body) {
  const SignalsBlocked blocked;
  std::thread thread(std::move(body));
  pthread_setname_np(thread.native_handle(), name);  // at most 15 characters
  return thread;
}

// Starts body(0) to body(count - 1), each on a thread of its own. Where the system refuses some,
// the error says why, and `threads` has those that run.
template <typename Body>
Status start_threads(std::vector<std::thread>& threads, const char* name, uint32_t count,
                     const Body& body) {
  try {
    threads.reserve(threads.size() + count);
    for (uint32_t number = 0; number < count; ++number) {
      threads.push_back(start_thread(name, [body, number] { body(number); }));
    }
  } catch (const std::system_error& error) {
    return errno_status(error.code().value(), "start", "a thread",
                        "raise `ulimit -u` or `ulimit -v`");
  } catch (const std::bad_alloc&) {
    return no_memory("a thread");
  }
  return Status::ok();
}

}  // namespace tintype
