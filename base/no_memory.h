// Memory that was refused, as an error.
#pragma once

#include <cerrno>
#include <string_view>

#include "base/status.h"

namespace tintype {

// resource_exhausted, with ENOMEM.
inline Status no_memory(std::string_view for_what) {
  return errno_status(ENOMEM, "get memory for", for_what, "free memory, or raise `ulimit -v`");
}

}  // namespace tintype
