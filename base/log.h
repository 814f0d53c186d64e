// Warnings to the operator. Sparse: each place that warns does so once per cause.
#pragma once

#include <functional>
#include <string_view>

namespace tintype {

// Thread-safe. Goes to stderr unless a sink was set.
void log_warning(std::string_view message);

// Replaces stderr as the target; an empty function restores it.
void set_log_sink(std::function<void(std::string_view)> sink);

}  // namespace tintype
