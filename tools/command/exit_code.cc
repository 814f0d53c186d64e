#include "tools/command/exit_code.h"

#include <algorithm>
#include <array>

namespace tintype::command {

ExitCode exit_code_for(const Status& status) {
  switch (status.code()) {
    case StatusCode::ok: return ExitCode::ok;
    case StatusCode::invalid_argument: return ExitCode::usage;
    case StatusCode::corruption: return ExitCode::corrupt_or_different;
    case StatusCode::unsupported: return ExitCode::unsupported;
    // Too many open files is the system's limit, any other one is ours.
    case StatusCode::resource_exhausted:
      return status.error_number() != 0 ? ExitCode::io_error : ExitCode::unsupported;
    case StatusCode::not_found:
    case StatusCode::already_exists:
    case StatusCode::out_of_space:
    case StatusCode::io_error: return ExitCode::io_error;
    case StatusCode::locked:
    case StatusCode::busy: return ExitCode::locked;
    case StatusCode::cancelled:
    case StatusCode::interrupted:
    case StatusCode::torn:
    case StatusCode::internal: return ExitCode::failed;
  }
  return ExitCode::failed;
}

ExitCode worse_of(ExitCode first, ExitCode second) {
  constexpr std::array kFromMildToGrave = {ExitCode::ok,
                                           ExitCode::usage,
                                           ExitCode::locked,
                                           ExitCode::failed,
                                           ExitCode::unsupported,
                                           ExitCode::io_error,
                                           ExitCode::corrupt_or_different};
  const auto gravity = [&](ExitCode code) {
    return std::find(kFromMildToGrave.begin(), kFromMildToGrave.end(), code);
  };
  return gravity(first) < gravity(second) ? second : first;
}

}  // namespace tintype::command
