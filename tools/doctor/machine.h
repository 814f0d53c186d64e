// Memory, processor, limits and GPU, as far as this build makes use of them.
#pragma once

#include <string_view>
#include <vector>

#include "tools/doctor/finding.h"
#include "tools/doctor/process_limits.h"

namespace tintype::doctor {

// Of the zstd library by which compressed forms are coded.
Finding judge_zstd(std::string_view version, bool has_huffman_mode);

std::vector<Finding> examine_machine(const ProcessLimits& limits);

}  // namespace tintype::doctor
