#include "bindings/src/guard/private_memory.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <string>

namespace tintype::python {

bool PrivateMemory::contains(uint64_t address, uint64_t size_bytes) {
  if (!is_read_) read();
  const auto after = std::ranges::upper_bound(ranges_, address, {}, &Range::begin);
  if (after == ranges_.begin()) return false;
  const Range& range = *std::prev(after);
  return address + size_bytes <= range.end;
}

// Lines as "7f00-7f80 rw-p 00000000 00:00 0  [heap]": 'p' for private, and the inode, 0 for memory
// without a file. See proc(5).
void PrivateMemory::read() {
  is_read_ = true;
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    Range range;
    char access[5] = {};
    uint64_t inode = 0;
    if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64 " %4s %*s %*s %" SCNu64, &range.begin,
                    &range.end, access, &inode) != 4) {
      continue;
    }
    if (access[3] != 'p' || inode != 0) continue;
    if (!ranges_.empty() && ranges_.back().end == range.begin) {
      ranges_.back().end = range.end;
    } else {
      ranges_.push_back(range);
    }
  }
}

}  // namespace tintype::python
