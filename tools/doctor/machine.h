// Memory, processor, limits and GPU, as far as this build makes use of them.
#pragma once

#include <vector>

#include "tools/doctor/finding.h"
#include "tools/doctor/process_limits.h"

namespace tintype::doctor {

std::vector<Finding> examine_machine(const ProcessLimits& limits);

}  // namespace tintype::doctor
