// An extent as it lies in memory where some of its runs were sorted into planes on their way there,
// by a device.
#pragma once

#include <cstdint>
#include <vector>

#include "io/archive/compressed_form.h"

namespace tintype {

struct SplitExtent {
  struct Run {
    PlaneRun planes;
    // The run's planes lie one behind the other in its place (base/plane_index.h); else its plain
    // bytes.
    bool is_split = false;
  };
  std::vector<Run> runs;   // of cut_plane_runs(): they cover the extent
  uint32_t plain_crc = 0;  // of the extent's plain bytes
};

}  // namespace tintype
