// Leaving Python for a call that may take long.
#pragma once

#include <unistd.h>

#include <atomic>
#include <thread>
#include <utility>

#include <nanobind/nanobind.h>

#include "bindings/src/guard/safe_point.h"

namespace tintype::python {

// Threads that are in native code now, or on their way back. One that comes back while the
// interpreter ends would be killed inside C++ frames, which ends the program; see wait_for_callers.
inline std::atomic<int> active_calls{0};

// Set with the GIL held once every engine was drained, with the thread that ends the interpreter.
inline std::atomic<bool> is_interpreter_ending{false};
inline std::thread::id ending_thread;

// Counts a thread of the engine that is about to take the GIL, or a call that gives it away, itself
// or in what it calls.
class ActiveCall {
 public:
  ActiveCall() { ++active_calls; }
  ~ActiveCall() { --active_calls; }
  ActiveCall(const ActiveCall&) = delete;
  ActiveCall& operator=(const ActiveCall&) = delete;
};

// A call of one of Python's threads, in which Python code may run or the GIL be given away. Needs
// the GIL. Once the interpreter ends, daemon threads stay here until the process is gone, as they
// would have been killed.
class PythonCall {
 public:
  PythonCall() {
    if (is_interpreter_ending.load() && std::this_thread::get_id() != ending_thread) stay();
    enter_package();
    ++active_calls;
  }
  ~PythonCall() {
    --active_calls;
    leave_package();
  }
  PythonCall(const PythonCall&) = delete;
  PythonCall& operator=(const PythonCall&) = delete;

 private:
  [[noreturn]] static void stay() {
    PyEval_SaveThread();
    for (;;) ::pause();
  }
};

// Runs `call` without the GIL, holding no Python object's borrowed reference. Needs the GIL. Who
// ends the interpreter keeps the GIL: such calls are short.
template <typename Call>
auto without_gil(Call&& call) {
  const PythonCall active;
  if (is_interpreter_ending.load()) return std::forward<Call>(call)();
  nanobind::gil_scoped_release release;
  return std::forward<Call>(call)();
}

}  // namespace tintype::python
