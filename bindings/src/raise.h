// Status -> Python exception, in one place.
#pragma once

#include <chrono>

#include <Python.h>

#include "base/status.h"

namespace tintype::python {

// Throws the package's error class for this status (tintype._errors.make_error). Needs the GIL.
// When a signal handler has already raised (Ctrl-C), that exception is thrown instead.
[[noreturn]] void raise_status(const Status& status);

// A new reference to the exception object for a failed status. Needs the GIL.
PyObject* make_exception(const Status& status);

inline void raise_if_error(const Status& status) {
  if (!status.is_ok()) raise_status(status);
}

template <typename T>
T value_or_raise(Result<T> result) {
  if (!result.is_ok()) raise_status(result.status());
  return std::move(result).value();
}

// How long a blocking call may go on without a look for signals.
constexpr std::chrono::milliseconds kSignalPeriod{50};

// Runs pending signal handlers; true when one raised (the error stays set on this thread). Takes
// the GIL, so it must be called without locks held.
bool is_signal_pending();

}  // namespace tintype::python
