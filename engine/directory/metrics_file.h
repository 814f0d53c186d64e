// `_metrics.json`: what Catalyst's users read. Keys `best`, `last`, then one per kept stem, best
// first; each value maps metric names to numbers.
#pragma once

#include <string>

#include "engine/directory/checkpoint_index.h"

namespace tintype {

// Strict JSON, indented by 2: NaN and the infinities become null.
std::string render_metrics(const CheckpointIndex& index);

}  // namespace tintype
