// For builds without CUDA.
#include "kernels/cuda_api.h"

namespace tintype {

CudaApi* cuda_runtime_api() { return nullptr; }

}  // namespace tintype
