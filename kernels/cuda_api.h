// What Gpu asks of CUDA, without CUDA's headers: the runtime behind it (cuda_runtime_api.cc, in
// builds with CUDA), or a simulated one, on which the tests prove the order of everything.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/bytes.h"
#include "base/status.h"
#include "kernels/piece_table.h"

namespace tintype {

// Thread-safe. Errors say what was tried and what CUDA answered. No call but wait() and
// synchronize() waits for the device, nor does any end another thread's capture of a graph.
class CudaApi {
 public:
  using Stream = uintptr_t;  // a cudaStream_t; 0 is the default stream of the current device
  using Event = uintptr_t;   // a cudaEvent_t

  virtual ~CudaApi() = default;

  // unsupported where there is no driver, or one that is too old; says which.
  virtual Result<int> device_count() = 0;

  // Makes the device the calling thread's until leave(), which brings the former one back. Calls
  // may be nested.
  virtual Status enter(int device) = 0;
  virtual void leave() = 0;

  // REQUIRES for all below: between enter() and leave(). A thread that is on no device would get
  // device 0, and with it a context there that costs hundreds of megabytes.
  // unsupported where the build has no kernels for this kind of device; says which it is and what
  // to do. Kernels that are loaded now cost no launch the time for it.
  virtual Status load_kernels() = 0;
  // A stream that the default stream's work does not wait for, nor it for that.
  virtual Result<Stream> create_stream() = 0;
  virtual Result<Event> create_event() = 0;
  virtual Status record(Event event, Stream stream) = 0;
  // Work given to the stream from now on starts when what the event has recorded by now is done.
  virtual Status make_wait(Stream stream, Event event) = 0;
  virtual Result<bool> is_capturing(Stream stream) = 0;
  virtual Status synchronize(Stream stream) = 0;
  // Between host and device, either way. To or from host memory that is not pinned, it returns only
  // when that memory is no longer used.
  virtual Status copy(std::byte* target, const std::byte* source, uint64_t size_bytes,
                      Stream stream) = 0;
  virtual Status launch_gather(const PieceTable& table, uint32_t blocks_max, Stream stream) = 0;
  virtual Status launch_crc32(const PieceTable& table, uint32_t* chunk_crcs, uint32_t blocks_max,
                              Stream stream) = 0;
  // Never freed. Host memory is pinned, and kernels of every device reach it by the same address.
  virtual Result<MutableBytes> allocate_on_host(uint64_t size_bytes) = 0;
  virtual Result<MutableBytes> allocate_on_device(uint64_t size_bytes) = 0;

  // As for memory of allocate_on_host(), until unpin(). May be refused.
  virtual Status pin(MutableBytes memory) = 0;
  virtual void unpin(MutableBytes memory) = 0;

  // Also true when the work failed, which wait() says.
  virtual bool is_done(Event event) = 0;
  virtual Status wait(Event event) = 0;
  // May come before it is done.
  virtual void destroy_event(Event event) = 0;
};

// The process's CUDA; null in builds without.
CudaApi* cuda_runtime_api();

}  // namespace tintype
