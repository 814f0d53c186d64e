// Leaving Python for a call that may take long.
#pragma once

#include <atomic>
#include <utility>

#include <nanobind/nanobind.h>

namespace tintype::python {

// Threads that are in native code now, or on their way back. One that comes back while the
// interpreter ends would be killed inside C++ frames, which ends the program; see wait_for_callers.
inline std::atomic<int> active_calls{0};

// Set with the GIL held once every engine was drained. From then on calls are short and keep the
// GIL: a thread that never lets go of it cannot be killed on its way back.
inline std::atomic<bool> is_interpreter_ending{false};

// Counts a thread of the engine that is about to take the GIL, or a call that gives it away, itself
// or in what it calls.
class ActiveCall {
 public:
  ActiveCall() { ++active_calls; }
  ~ActiveCall() { --active_calls; }
  ActiveCall(const ActiveCall&) = delete;
  ActiveCall& operator=(const ActiveCall&) = delete;
};

// Runs `call` without the GIL, holding no Python object's borrowed reference. Needs the GIL.
template <typename Call>
auto without_gil(Call&& call) {
  if (is_interpreter_ending.load()) return std::forward<Call>(call)();
  const ActiveCall active;
  nanobind::gil_scoped_release release;
  return std::forward<Call>(call)();
}

}  // namespace tintype::python
