// CUDA devices as the engine sees them: adapters over kernels/gpu.h.
#pragma once

#include <map>
#include <memory>
#include <mutex>

#include "engine/device/device.h"
#include "kernels/cuda_api.h"
#include "kernels/pinned_memory.h"

namespace tintype {

// The devices of one CudaApi, which outlives this. Thread-safe.
class CudaDevices {
 public:
  explicit CudaDevices(CudaApi& api) : api_(api), pinned_(api) {}
  ~CudaDevices();

  // The device with this index as CUDA counts; made at its first use. unsupported, with the
  // reason, where there is none that this build can use: for good, so that it is cheap to ask
  // again.
  Result<Device*> device(int index);

  CudaDevices(const CudaDevices&) = delete;
  CudaDevices& operator=(const CudaDevices&) = delete;

 private:
  CudaApi& api_;
  PinnedMemory pinned_;
  std::mutex mutex_;
  std::map<int, std::unique_ptr<Device>> devices_;  // guarded by mutex_
  std::map<int, Status> unsupported_;               // guarded by mutex_
};

// True in a build with CUDA, whether or not this machine has a device.
bool is_built_with_cuda();

// The process's device with this index, which lives to its end. unsupported in a build without CUDA
// or without code for this device, and where there is no driver, or one older than the CUDA that
// this was built with.
Result<Device*> cuda_device(int index);

}  // namespace tintype
