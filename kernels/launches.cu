// Device code is the per-thread functions of the headers; here are the loops over chunks, and what
// the threads of a block tell each other.
#include "kernels/launches.h"

#include "kernels/crc32_thread.h"
#include "kernels/gather_thread.h"

namespace tintype {
namespace {

constexpr uint32_t kWarpThreads = 32;

// nvcc wants it evaluated where it stands, and cannot call a constexpr host function on the device.
__device__ constexpr crc32_lanes::Tables kTables = crc32_lanes::make_tables();

__global__ void __launch_bounds__(kGatherThreads) gather_kernel(PieceTable table) {
  for (uint64_t chunk = blockIdx.x; chunk < table.chunk_count; chunk += gridDim.x) {
    gather_chunk(chunk_bytes(table, chunk), threadIdx.x);
  }
}

// The exclusive or over the threads of the block; only thread 0 gets it. `parts` is shared, one
// for each warp.
__device__ uint32_t sum_of_block(uint32_t part, uint32_t* parts) {
  for (uint32_t distance = kWarpThreads / 2; distance > 0; distance /= 2) {
    part ^= __shfl_down_sync(0xFFFFFFFFu, part, distance);
  }
  if (threadIdx.x % kWarpThreads == 0) parts[threadIdx.x / kWarpThreads] = part;
  __syncthreads();
  uint32_t sum = 0;
  if (threadIdx.x == 0) {
    for (uint32_t i = 0; i < crc32_lanes::kThreads / kWarpThreads; ++i) sum ^= parts[i];
  }
  __syncthreads();  // before the next chunk's parts are written
  return sum;
}

__global__ void __launch_bounds__(crc32_lanes::kThreads)
    crc32_kernel(PieceTable table, uint32_t* chunk_crcs) {
  __shared__ crc32_lanes::Tables tables;  // looked up at random: faster than from the cache
  __shared__ uint32_t parts[crc32_lanes::kThreads / kWarpThreads];
  const auto* from = reinterpret_cast<const uint32_t*>(&kTables);
  auto* to = reinterpret_cast<uint32_t*>(&tables);
  for (uint32_t i = threadIdx.x; i < sizeof(tables) / 4; i += crc32_lanes::kThreads)
    to[i] = from[i];
  __syncthreads();
  for (uint64_t chunk = blockIdx.x; chunk < table.chunk_count; chunk += gridDim.x) {
    const ChunkBytes bytes = chunk_bytes(table, chunk);
    const uint32_t sum = sum_of_block(crc32_part(tables, bytes, threadIdx.x), parts);
    if (threadIdx.x == 0) chunk_crcs[chunk] = crc32_end(tables, bytes, sum);
  }
}

uint32_t blocks_for(const PieceTable& table, uint32_t blocks_max) {
  return table.chunk_count < blocks_max ? static_cast<uint32_t>(table.chunk_count) : blocks_max;
}

}  // namespace

// Asking about a kernel loads it.
cudaError_t load_kernels() {
  cudaFuncAttributes attributes{};
  const cudaError_t error = cudaFuncGetAttributes(&attributes, gather_kernel);
  if (error != cudaSuccess) return error;
  return cudaFuncGetAttributes(&attributes, crc32_kernel);
}

cudaError_t launch_gather(const PieceTable& table, uint32_t blocks_max, cudaStream_t stream) {
  gather_kernel<<<blocks_for(table, blocks_max), kGatherThreads, 0, stream>>>(table);
  return cudaGetLastError();
}

cudaError_t launch_crc32(const PieceTable& table, uint32_t* chunk_crcs, uint32_t blocks_max,
                         cudaStream_t stream) {
  crc32_kernel<<<blocks_for(table, blocks_max), crc32_lanes::kThreads, 0, stream>>>(table,
                                                                                    chunk_crcs);
  return cudaGetLastError();
}

}  // namespace tintype
