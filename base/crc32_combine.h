// CRC-32 arithmetic over GF(2), shared by host and device code.
//
// A CRC-32 of "A then B" follows from crc(A), crc(B) and |B|: crc(A) is multiplied by x^(8|B|)
// modulo the polynomial (zlib's 0xEDB88320, bit-reversed), then crc(B) is added. So pieces of one
// record may be checked in any order, on any thread or device.
#pragma once

#include <cstdint>

#include "base/host_device.h"

namespace tintype {

// The CRC-32 of the concatenation of two byte strings. O(log second_bytes).
uint32_t crc32_combine(uint32_t first_crc, uint32_t second_crc, uint64_t second_bytes);

namespace crc32_detail {

inline constexpr uint32_t kPolynomial = 0xEDB88320u;

// a(x) * b(x) mod p(x), in the bit-reversed representation: bit 31 is x^0.
TINTYPE_HOST_DEVICE constexpr uint32_t multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = 0x80000000u; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b & 1u) != 0 ? (b >> 1) ^ kPolynomial : b >> 1;
  }
  return product;
}

// x^(8 * byte_count) mod p(x), by squaring.
TINTYPE_HOST_DEVICE constexpr uint32_t x_to_bytes(uint64_t byte_count) {
  uint32_t result = 0x80000000u;  // x^0
  uint32_t square = 0x00800000u;  // x^8
  for (; byte_count != 0; byte_count >>= 1) {
    if ((byte_count & 1u) != 0) result = multiply(result, square);
    square = multiply(square, square);
  }
  return result;
}

}  // namespace crc32_detail
}  // namespace tintype
