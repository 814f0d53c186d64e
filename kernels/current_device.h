// CudaApi::enter() and leave() as a scope.
#pragma once

#include "kernels/cuda_api.h"

namespace tintype {

class CurrentDevice {
 public:
  CurrentDevice(CudaApi& api, int device) : api_(api), status_(api.enter(device)) {}
  ~CurrentDevice() {
    if (status_.is_ok()) api_.leave();
  }
  // Nothing may be asked of the device unless this is ok.
  const Status& status() const { return status_; }

  CurrentDevice(const CurrentDevice&) = delete;
  CurrentDevice& operator=(const CurrentDevice&) = delete;

 private:
  CudaApi& api_;
  const Status status_;
};

}  // namespace tintype
