// Reading and writing several bytes at once, where the device has an instruction for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "base/host_device.h"

namespace tintype {

struct alignas(16) Bytes16 {
  uint32_t words[4];
};

// REQUIRES: `address` is aligned to Lane.
template <typename Lane>
TINTYPE_HOST_DEVICE inline Lane load_lane(const std::byte* address) {
#ifdef __CUDA_ARCH__
  return *reinterpret_cast<const Lane*>(address);
#else
  Lane lane;
  std::memcpy(&lane, address, sizeof(Lane));  // the memory may hold anything
  return lane;
#endif
}

// REQUIRES: `address` is aligned to Lane.
template <typename Lane>
TINTYPE_HOST_DEVICE inline void store_lane(std::byte* address, const Lane& lane) {
#ifdef __CUDA_ARCH__
  *reinterpret_cast<Lane*>(address) = lane;
#else
  std::memcpy(address, &lane, sizeof(Lane));
#endif
}

}  // namespace tintype
