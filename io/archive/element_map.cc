#include "io/archive/element_map.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/check.h"

namespace tintype {

void ElementMap::add(uint64_t offset, uint64_t size_bytes, uint32_t element_bytes,
                     bool is_floating) {
  TINTYPE_CHECK(runs_.empty() || runs_.back().offset_bytes + runs_.back().size_bytes <= offset);
  // Single bytes are what every gap is taken for.
  if (element_bytes > 1 && size_bytes > 0) {
    runs_.push_back({offset, size_bytes, element_bytes, is_floating});
  }
}

std::vector<ElementRun> ElementMap::runs_in(uint64_t offset, uint64_t size_bytes) const {
  const auto ends_behind = [](uint64_t place, const ElementRun& run) {
    return place < run.offset_bytes + run.size_bytes;
  };
  std::vector<ElementRun> found;
  for (auto run = std::upper_bound(runs_.begin(), runs_.end(), offset, ends_behind);
       run != runs_.end() && run->offset_bytes < offset + size_bytes; ++run) {
    // In whole elements from the start of the run.
    const uint64_t width = run->element_bytes;
    const uint64_t skipped = offset > run->offset_bytes ? offset - run->offset_bytes : 0;
    const uint64_t begin = align_up(skipped, width);
    const uint64_t limit = std::min(run->size_bytes, offset + size_bytes - run->offset_bytes);
    const uint64_t end = limit - limit % width;
    if (begin < end) {
      found.push_back(
          {run->offset_bytes + begin - offset, end - begin, run->element_bytes, run->is_floating});
    }
  }
  return found;
}

}  // namespace tintype
