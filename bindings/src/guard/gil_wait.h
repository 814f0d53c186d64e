// What threads wait for, Python's GIL above all, as Linux sees it.
#pragma once

#include <sys/types.h>

namespace tintype::python {

// Whether the thread of this process sleeps until it gets the GIL, which the caller holds: then it
// stands between two bytecodes, or has just ended a call that gave the GIL away. False where the
// system does not tell.
bool waits_for_gil(pid_t thread);

// Whether the thread of this process sleeps in the system for something else than a word of memory
// that another thread will change: for time, a file or a process. False where the system does not
// tell.
bool sleeps_without_word(pid_t thread);

}  // namespace tintype::python
