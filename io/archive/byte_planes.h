// Sorting the bytes of elements into planes and back (base/plane_index.h), by the widest
// instructions that the processor has.
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace tintype {

// Splits `elements` of planes.size() bytes each: planes[b] gets one byte of each element. Planes
// may lie anywhere, but overlap neither each other nor the elements. REQUIRES: 1 to 8 planes;
// elements.size() is a multiple of their number.
void split_planes(ByteView elements, bool is_rotated, std::span<std::byte* const> planes);

// The way back.
void join_planes(std::span<const std::byte* const> planes, bool is_rotated, MutableBytes elements);

// The same, one element after the other: for widths and rests without an instruction of their own,
// and to compare with.
namespace portable {
void split_planes(ByteView elements, bool is_rotated, std::span<std::byte* const> planes);
void join_planes(std::span<const std::byte* const> planes, bool is_rotated, MutableBytes elements);
}  // namespace portable

}  // namespace tintype
