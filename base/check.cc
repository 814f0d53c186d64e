#include "base/check.h"

#include <cstdlib>

#include <fmt/format.h>

namespace tintype {

void check_failed(const char* expression, const char* file, int line) {
  fmt::print(stderr, "tintype: check failed: {} at {}:{}\n", expression, file, line);
  std::abort();
}

}  // namespace tintype
