// Leaving Python for a call that may take long.
#pragma once

#include <nanobind/nanobind.h>

#include <atomic>
#include <utility>

namespace tintype::python {

// Threads that are in native code now, or on their way back. One that comes back while the
// interpreter ends would be killed inside C++ frames, which ends the program; see wait_for_callers.
inline std::atomic<int> active_calls{0};

// Runs `call` without the GIL, holding no Python object's borrowed reference. Needs the GIL.
template <typename Call>
auto without_gil(Call&& call) {
  struct Count {
    Count() { ++active_calls; }
    ~Count() { --active_calls; }
  } count;
  nanobind::gil_scoped_release release;
  return std::forward<Call>(call)();
}

}  // namespace tintype::python
