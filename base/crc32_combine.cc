#include "base/crc32_combine.h"

namespace tintype {

uint32_t crc32_combine(uint32_t first_crc, uint32_t second_crc, uint64_t second_bytes) {
  if (first_crc == 0) return second_crc;  // nothing came before, as for most small pieces
  using namespace crc32_detail;
  return multiply(x_to_bytes(second_bytes), first_crc) ^ second_crc;
}

}  // namespace tintype
