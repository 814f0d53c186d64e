// Starting background threads: named, and deaf to signals so that handlers run on the program's
// threads.
#pragma once

#include <pthread.h>
#include <signal.h>

#include <cstddef>
#include <new>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/no_memory.h"
#include "base/status.h"

namespace tintype {

// The calling thread gets no signals while this lives. Threads started meanwhile never do.
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

// Of a thread that the system did not give: resource_exhausted, with what to do.
Status thread_refusal(const char* name, int error_number);

// `name` has at most 15 characters. A process or its cgroup may have no thread left: whoever can do
// with fewer, or with the caller's own, does.
template <typename Body>
Result<std::thread> start_thread(const char* name, Body body) {
  const SignalsBlocked blocked;
  try {
    std::thread thread(std::move(body));
    pthread_setname_np(thread.native_handle(), name);
    return Result<std::thread>(std::move(thread));
  } catch (const std::system_error& error) {
    return thread_refusal(name, error.code().value());
  } catch (const std::bad_alloc&) {
    return no_memory("a thread");
  }
}

// Threads of one kind, joined by the destructor.
class ThreadGroup {
 public:
  ThreadGroup() = default;
  ~ThreadGroup() { join(); }

  template <typename Body>
  Status start(const char* name, Body body) {
    try {
      threads_.reserve(threads_.size() + 1);  // before: a thread that runs must have its place
    } catch (const std::bad_alloc&) {
      return no_memory("a thread");
    }
    TINTYPE_ASSIGN_OR_RETURN(std::thread thread, start_thread(name, std::move(body)));
    threads_.push_back(std::move(thread));
    return Status::ok();
  }

  // Starts threads until there are `count`, or as many as the system gives.
  template <typename Body>
  void fill_up_to(size_t count, const char* name, const Body& body) {
    while (size() < count && start(name, body).is_ok()) {
    }
  }

  size_t size() const { return threads_.size(); }
  bool empty() const { return threads_.empty(); }
  void join() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  ThreadGroup(const ThreadGroup&) = delete;
  ThreadGroup& operator=(const ThreadGroup&) = delete;

 private:
  std::vector<std::thread> threads_;
};

}  // namespace tintype
