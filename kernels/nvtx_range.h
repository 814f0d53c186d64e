// Ranges for NVIDIA's tools: Nsight Systems shows them on the thread's lane, above what the device
// does meanwhile.
#pragma once

namespace tintype {

// A range of the calling thread, until end_nvtx_range(). They nest. Where no tool listens it costs
// a look at a pointer; nothing happens in builds without CUDA, or without NVTX's headers.
void begin_nvtx_range(const char* name);
void end_nvtx_range();

}  // namespace tintype
