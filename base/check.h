// Checks for programmer errors. They stay on in release builds: a wrong checkpoint is worse than
// none. No check may depend on what a user passed in; that is what Status is for.
#pragma once

namespace tintype {

// Prints the failed expression with its place and aborts.
[[noreturn]] void check_failed(const char* expression, const char* file, int line);

}  // namespace tintype

#define TINTYPE_CHECK(expression)                               \
  do {                                                          \
    if (!(expression)) [[unlikely]]                             \
      ::tintype::check_failed(#expression, __FILE__, __LINE__); \
  } while (false)
