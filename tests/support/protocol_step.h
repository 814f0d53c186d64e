// The step of the commit protocol (docs/design.md) that an operation belongs to.
#pragma once

#include <string>

#include "tests/support/fault_injector.h"

namespace tintype {

// "6 fdatasync", "12 evict"; "looking" for what changes nothing.
std::string protocol_step(const FaultInjector::Operation& operation);

}  // namespace tintype
