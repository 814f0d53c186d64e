// What the command answers to its caller. Scripts rely on these numbers.
#pragma once

#include "base/status.h"

namespace tintype::command {

enum class ExitCode : int {
  ok = 0,
  failed = 1,
  usage = 2,
  corrupt_or_different = 3,
  unsupported = 4,  // or over a limit
  io_error = 5,     // or no space
  locked = 6,
};

ExitCode exit_code_for(const Status& status);

// Of several outcomes, the one to answer with: damage first, then what kept us from judging.
ExitCode worse_of(ExitCode first, ExitCode second);

}  // namespace tintype::command
