// The sizes that memory and disks are cut by.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tintype {

inline constexpr size_t kPageBytes = 4096;
inline constexpr size_t kHugePageBytes = size_t{2} << 20;

// What O_DIRECT wants address, offset and size to be multiples of: enough for disks with sectors of
// 512 bytes and of 4 KiB, and a whole page, so that no page is shared with a neighbour.
inline constexpr uint64_t kDirectAlignmentBytes = 4096;

}  // namespace tintype
