// The errors that tests inject everywhere, and a table of what came of it.
#pragma once

#include <cerrno>
#include <cstddef>
#include <map>
#include <string>

#include "tests/support/fault_injector.h"

namespace tintype {

// The last one, a short write, can meet writes only.
inline constexpr int kInjectedErrors[] = {EIO,    ENOSPC, EDQUOT, EROFS,
                                          EMFILE, EACCES, ESTALE, ETIMEDOUT,
                                          EFBIG,  EAGAIN, EINTR,  FaultInjector::kShortWrite};

// "EIO", "short".
std::string error_text(int error_number);

struct FaultCounts {
  size_t faults = 0, failed = 0, unpublished = 0, tolerated = 0;
  std::map<std::string, std::map<int, size_t>> fired;  // by protocol step and error
};

// On stdout: the sums, and `fired` as a table.
void print(const char* backend, const FaultCounts& counts);

}  // namespace tintype
