// Which bytes of a plain image are elements of what type: what the planes are cut by.
#pragma once

#include <cstdint>
#include <vector>

namespace tintype {

// Bytes of an extent that are elements of one type; offsets from the start of the extent.
struct ElementRun {
  uint64_t offset_bytes = 0;
  uint64_t size_bytes = 0;
  uint32_t element_bytes = 1;
  bool is_floating = false;
};

// Made once per image, then read by several threads.
class ElementMap {
 public:
  // REQUIRES: in ascending order, without overlap.
  void add(uint64_t offset, uint64_t size_bytes, uint32_t element_bytes, bool is_floating);

  // What lies in [offset, offset + size_bytes) of the image, in ascending order, cut to whole
  // elements: the parts of one that lies across a border belong to no run.
  std::vector<ElementRun> runs_in(uint64_t offset, uint64_t size_bytes) const;

 private:
  std::vector<ElementRun> runs_;  // of the whole image
};

}  // namespace tintype
