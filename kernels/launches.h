// The kernels' launches: for cuda_runtime_api.cc alone, as this header needs CUDA's.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/piece_table.h"

namespace tintype {

// Both kernels, on the current device; the driver does it once.
cudaError_t load_kernels();

// REQUIRES for both: chunk_count and blocks_max above 0. The streams' device is current.
cudaError_t launch_gather(const PieceTable& table, uint32_t blocks_max, cudaStream_t stream);
// `chunk_crcs` gets one CRC-32 for each chunk; device memory, or host memory that the device sees.
cudaError_t launch_crc32(const PieceTable& table, uint32_t* chunk_crcs, uint32_t blocks_max,
                         cudaStream_t stream);

}  // namespace tintype
