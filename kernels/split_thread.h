// What one thread of the gather kernel does with a chunk whose elements are sorted into planes on
// their way. The host runs it in loops: tests/support/host_twins.h.
//
// A thread takes four elements and stores a word of each plane, so that a warp's stores are whole
// lines of the memory they go to, which may be the host's.
#pragma once

#include "base/plane_index.h"
#include "kernels/device_access.h"
#include "kernels/piece_table.h"

namespace tintype {

// REQUIRES: `element` < the chunk's; the source is aligned to Element.
template <typename Element>
TINTYPE_HOST_DEVICE inline uint64_t load_element(const ChunkBytes& chunk, uint64_t element) {
  const auto loaded = load_lane<Element>(chunk.source + element * sizeof(Element));
  return chunk.planes.is_rotated ? rotate_element_left(loaded, sizeof(Element)) : loaded;
}

template <typename Element>
TINTYPE_HOST_DEVICE inline void split_bytes(const ChunkBytes& chunk, uint64_t element) {
  const uint64_t bits = load_element<Element>(chunk, element);
  for (uint32_t b = 0; b < sizeof(Element); ++b) {
    chunk.target[plane_index(element, b, chunk.planes.plane_bytes)] = element_byte(bits, b);
  }
}

// Four elements from `first` on, whose places are aligned in every plane.
template <typename Element>
TINTYPE_HOST_DEVICE inline void split_words(const ChunkBytes& chunk, uint64_t first) {
  uint64_t elements[kSplitWordBytes];
  for (uint32_t i = 0; i < kSplitWordBytes; ++i) {
    elements[i] = load_element<Element>(chunk, first + i);
  }
  for (uint32_t b = 0; b < sizeof(Element); ++b) {
    uint32_t word = 0;
    for (uint32_t i = 0; i < kSplitWordBytes; ++i) {
      word |= static_cast<uint32_t>(element_byte(elements[i], b)) << (8 * i);
    }
    store_lane(chunk.target + plane_index(first, b, chunk.planes.plane_bytes), word);
  }
}

template <typename Element>
TINTYPE_HOST_DEVICE inline void split_elements(const ChunkBytes& chunk, uint32_t thread,
                                               uint32_t thread_count) {
  const SplitWords words =
      cut_into_words(reinterpret_cast<uintptr_t>(chunk.target), chunk.planes.plane_bytes,
                     chunk.size_bytes / sizeof(Element));
  for (uint64_t i = thread; i < words.head_elements; i += thread_count) {
    split_bytes<Element>(chunk, i);
  }
  for (uint64_t i = thread; i < words.word_count; i += thread_count) {
    split_words<Element>(chunk, words.head_elements + i * kSplitWordBytes);
  }
  const uint64_t tail = words.head_elements + words.word_count * kSplitWordBytes;
  if (thread < words.tail_elements) split_bytes<Element>(chunk, tail + thread);
}

// REQUIRES: the chunk's planes.width is 2, 4 or 8, its source is aligned to that; thread <
// thread_count, which is above kSplitWordBytes.
TINTYPE_HOST_DEVICE inline void split_chunk(const ChunkBytes& chunk, uint32_t thread,
                                            uint32_t thread_count) {
  switch (chunk.planes.width) {
    case 2: return split_elements<uint16_t>(chunk, thread, thread_count);
    case 4: return split_elements<uint32_t>(chunk, thread, thread_count);
    default: return split_elements<uint64_t>(chunk, thread, thread_count);
  }
}

}  // namespace tintype
