// Into which runs an extent is cut before its bytes are sorted into planes.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "io/archive/compressed_form.h"
#include "io/archive/element_map.h"

namespace tintype {

// Runs below this size go with a neighbour: their planes would not be worth a frame each.
inline constexpr uint64_t kRunBytesMin = uint64_t{64} << 10;
// Long runs are cut, so that planes stay in the cache and their codes follow the content. One block
// of zstd per plane; the last run has what is left, up to half as many more, rather than a small
// one behind it.
inline constexpr uint64_t kRunElements = uint64_t{128} << 10;

// Covers [0, size_bytes) in ascending order without gaps; each run has whole elements of its width.
// `runs` are ascending and lie within; widths that are no power of two up to 8 become what they are
// multiples of. Floats are to be rotated, doubles not. All of this is known before a byte is there,
// so that bytes can be sorted into planes on their way.
std::vector<PlaneRun> cut_plane_runs(uint64_t size_bytes, std::span<const ElementRun> runs);

}  // namespace tintype
