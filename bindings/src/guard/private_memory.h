// Memory of this process alone, as opposed to what is shared with others or mapped from a file.
#pragma once

#include <cstdint>
#include <vector>

namespace tintype::python {

// A reading of /proc/self/maps, taken at the first question. Where that cannot be read, no memory
// is private.
class PrivateMemory {
 public:
  bool contains(uint64_t address, uint64_t size_bytes);

 private:
  struct Range {
    uint64_t begin = 0;
    uint64_t end = 0;
  };

  void read();

  bool is_read_ = false;
  std::vector<Range> ranges_;  // rising, neighbours joined
};

}  // namespace tintype::python
