// The part of byte_planes.h that AVX2 does: whole vectors of elements of 2, 4 and 8 bytes.
#pragma once

#include <cstddef>
#include <span>

#include "base/bytes.h"

namespace tintype::avx2 {

// Whether this processor has it.
bool is_here();

// Both do the first elements, as many as are whole vectors, and return how many those are: 0 for
// other widths. REQUIRES: is_here(); otherwise as byte_planes.h.
size_t split_planes(ByteView elements, bool is_rotated, std::span<std::byte* const> planes);
size_t join_planes(std::span<const std::byte* const> planes, bool is_rotated,
                   MutableBytes elements);

}  // namespace tintype::avx2
