// CudaApi over the CUDA runtime, which is linked statically: the program starts, and says why
// device_count() fails, also where there is no driver. libcuda is only ever loaded by the runtime.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <map>
#include <mutex>
#include <string>

#include <fmt/format.h>

#include "base/check.h"
#include "kernels/cuda_api.h"
#include "kernels/launches.h"

namespace tintype {
namespace {

StatusCode code_of(cudaError_t error) {
  switch (error) {
    case cudaErrorInsufficientDriver:
    case cudaErrorNoDevice:
    case cudaErrorInvalidDevice:
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorStubLibrary: return StatusCode::unsupported;
    case cudaErrorMemoryAllocation: return StatusCode::resource_exhausted;
    default: return StatusCode::io_error;
  }
}

// The one place where a CUDA error becomes a Status.
Status cuda_status(cudaError_t error, const char* operation) {
  if (error == cudaSuccess) return Status::ok();
  static_cast<void>(cudaGetLastError());  // not to be found again by the next call
  return {code_of(error),
          fmt::format("CUDA, {}: {} [{}, error {}]", operation, cudaGetErrorString(error),
                      cudaGetErrorName(error), static_cast<int>(error))};
}

// Versions are 1000 times the first number and 10 times the second.
std::string version_text(int version) {
  return fmt::format("{}.{}", version / 1000, version % 1000 / 10);
}

// CUDA says the same of a driver that is too old and of none.
Status insufficient_driver() {
  int version = 0;
  static_cast<void>(cudaDriverGetVersion(&version));
  static_cast<void>(cudaGetLastError());
  if (version == 0) return Status::unsupported("there is no CUDA driver on this machine");
  return Status::unsupported(
      fmt::format("the CUDA driver of this machine is for CUDA {}, this build for {}: update the "
                  "driver, or build with an older CUDA",
                  version_text(version), version_text(CUDART_VERSION)));
}

// What CUDA answers where a build has neither code for the current device nor PTX that its driver
// can make some from.
bool is_missing_code(cudaError_t error) {
  switch (error) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorInvalidKernelImage:
    case cudaErrorInvalidPtx:
    case cudaErrorUnsupportedPtxVersion:
    case cudaErrorJitCompilerNotFound:
    case cudaErrorJitCompilationDisabled: return true;
    default: return false;
  }
}

// REQUIRES: the device is entered.
Status missing_code(cudaError_t error) {
  static_cast<void>(cudaGetLastError());
  int device = 0, major = 0, minor = 0;
  static_cast<void>(cudaGetDevice(&device));
  static_cast<void>(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device));
  static_cast<void>(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device));
  return Status::unsupported(fmt::format(
      "this build has no code for cuda:{}, of compute capability {}.{} [{}]: build the preset "
      "release-cuda, or with -DTINTYPE_CUDA_ARCHITECTURES={}{}",
      device, major, minor, cudaGetErrorName(error), major, minor));
}

// A thread that captures a graph forbids the others what might disturb it, and loses its graph if
// they do it all the same. Nothing here does, and this says so.
class BesideCaptures {
 public:
  BesideCaptures() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  ~BesideCaptures() { cudaThreadExchangeStreamCaptureMode(&mode_); }
  BesideCaptures(const BesideCaptures&) = delete;
  BesideCaptures& operator=(const BesideCaptures&) = delete;

 private:
  cudaStreamCaptureMode mode_ = cudaStreamCaptureModeRelaxed;
};

cudaStream_t stream_of(CudaApi::Stream stream) { return reinterpret_cast<cudaStream_t>(stream); }
cudaEvent_t event_of(CudaApi::Event event) { return reinterpret_cast<cudaEvent_t>(event); }

// The driver's own calls for contexts. The runtime's cudaSetDevice() would leave its mark: bringing
// the former device back makes a context on device 0 for a thread that had none.
struct ContextCalls {
  decltype(&cuDevicePrimaryCtxRetain) retain = nullptr;
  decltype(&cuCtxPushCurrent) push = nullptr;
  decltype(&cuCtxPopCurrent) pop = nullptr;
};

template <typename Function>
cudaError_t find(const char* name, Function& function) {
  constexpr unsigned kOldestDriver = 12000;
  void* found = nullptr;
  cudaDriverEntryPointQueryResult result{};
  const cudaError_t error =
      cudaGetDriverEntryPointByVersion(name, &found, kOldestDriver, cudaEnableDefault, &result);
  function = reinterpret_cast<Function>(found);
  if (error != cudaSuccess) return error;
  return found != nullptr ? cudaSuccess : cudaErrorSymbolNotFound;
}

Result<ContextCalls> find_context_calls() {
  ContextCalls calls;
  TINTYPE_RETURN_IF_ERROR(cuda_status(find("cuDevicePrimaryCtxRetain", calls.retain), "load"));
  TINTYPE_RETURN_IF_ERROR(cuda_status(find("cuCtxPushCurrent", calls.push), "load"));
  TINTYPE_RETURN_IF_ERROR(cuda_status(find("cuCtxPopCurrent", calls.pop), "load"));
  return calls;
}

// Never destroyed: engines that end at exit, later than statics of this file would, still call it.
const Result<ContextCalls>& context_calls() {
  static const auto* const calls = new Result<ContextCalls>(find_context_calls());
  return *calls;
}

class CudaRuntimeApi final : public CudaApi {
 public:
  Result<int> device_count() override {
    int count = 0;
    const cudaError_t error = cudaGetDeviceCount(&count);
    if (error == cudaErrorInsufficientDriver) return insufficient_driver();
    TINTYPE_RETURN_IF_ERROR(cuda_status(error, "find devices"));
    return count;
  }

  Status enter(int device) override {
    const Result<ContextCalls>& calls = context_calls();
    if (!calls.is_ok()) return calls.status();
    TINTYPE_ASSIGN_OR_RETURN(const CUcontext context, context_of(device, *calls));
    return cuda_status(static_cast<cudaError_t>(calls->push(context)), "enter the device");
  }

  void leave() override {
    CUcontext left = nullptr;
    context_calls()->pop(&left);
  }

  Status load_kernels() override {
    const BesideCaptures beside;
    const cudaError_t error = tintype::load_kernels();
    return is_missing_code(error) ? missing_code(error) : cuda_status(error, "load the kernels");
  }

  Result<Stream> create_stream() override {
    const BesideCaptures beside;
    cudaStream_t stream = nullptr;
    const auto error = cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking);
    TINTYPE_RETURN_IF_ERROR(cuda_status(error, "create a stream"));
    return reinterpret_cast<Stream>(stream);
  }

  // Waiting sleeps instead of spinning: it is for milliseconds, and the job needs the processor.
  Result<Event> create_event() override {
    const BesideCaptures beside;
    cudaEvent_t event = nullptr;
    const auto error =
        cudaEventCreateWithFlags(&event, cudaEventDisableTiming | cudaEventBlockingSync);
    TINTYPE_RETURN_IF_ERROR(cuda_status(error, "create an event"));
    return reinterpret_cast<Event>(event);
  }

  Status record(Event event, Stream stream) override {
    const BesideCaptures beside;
    return cuda_status(cudaEventRecord(event_of(event), stream_of(stream)), "record an event");
  }

  Status make_wait(Stream stream, Event event) override {
    const BesideCaptures beside;
    return cuda_status(cudaStreamWaitEvent(stream_of(stream), event_of(event), 0),
                       "make a stream wait");
  }

  Result<bool> is_capturing(Stream stream) override {
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    // For the default stream while another captures, which refuses the question.
    const cudaError_t error = cudaStreamIsCapturing(stream_of(stream), &status);
    if (error == cudaErrorStreamCaptureImplicit) {
      static_cast<void>(cudaGetLastError());
      return true;
    }
    TINTYPE_RETURN_IF_ERROR(cuda_status(error, "look at a stream"));
    return status != cudaStreamCaptureStatusNone;
  }

  Status synchronize(Stream stream) override {
    const BesideCaptures beside;
    return cuda_status(cudaStreamSynchronize(stream_of(stream)), "wait for a stream");
  }

  Status copy(std::byte* target, const std::byte* source, uint64_t size_bytes,
              Stream stream) override {
    const BesideCaptures beside;
    return cuda_status(
        cudaMemcpyAsync(target, source, size_bytes, cudaMemcpyDefault, stream_of(stream)), "copy");
  }

  Status launch_gather(const PieceTable& table, uint32_t blocks_max, Stream stream) override {
    const BesideCaptures beside;
    return cuda_status(tintype::launch_gather(table, blocks_max, stream_of(stream)),
                       "launch the gather kernel");
  }

  Status launch_crc32(const PieceTable& table, uint32_t* chunk_crcs, uint32_t blocks_max,
                      Stream stream) override {
    const BesideCaptures beside;
    return cuda_status(tintype::launch_crc32(table, chunk_crcs, blocks_max, stream_of(stream)),
                       "launch the CRC-32 kernel");
  }

  Result<MutableBytes> allocate_on_host(uint64_t size_bytes) override {
    const BesideCaptures beside;
    void* memory = nullptr;
    const auto error =
        cudaHostAlloc(&memory, size_bytes, cudaHostAllocPortable | cudaHostAllocMapped);
    TINTYPE_RETURN_IF_ERROR(cuda_status(error, "allocate pinned memory"));
    return MutableBytes(static_cast<std::byte*>(memory), size_bytes);
  }

  Result<MutableBytes> allocate_on_device(uint64_t size_bytes) override {
    const BesideCaptures beside;
    void* memory = nullptr;
    TINTYPE_RETURN_IF_ERROR(cuda_status(cudaMalloc(&memory, size_bytes), "allocate on the device"));
    return MutableBytes(static_cast<std::byte*>(memory), size_bytes);
  }

  Status pin(MutableBytes memory) override {
    const BesideCaptures beside;
    const auto error = cudaHostRegister(memory.data(), memory.size(),
                                        cudaHostRegisterPortable | cudaHostRegisterMapped);
    TINTYPE_RETURN_IF_ERROR(cuda_status(error, "pin memory"));
    void* seen = nullptr;
    static_cast<void>(cudaHostGetDevicePointer(&seen, memory.data(), 0));
    if (seen == memory.data()) return Status::ok();
    unpin(memory);
    return Status::unsupported("CUDA, pin memory: the device sees it at another address");
  }

  void unpin(MutableBytes memory) override {
    const BesideCaptures beside;
    static_cast<void>(cuda_status(cudaHostUnregister(memory.data()), "unpin memory"));
  }

  bool is_done(Event event) override {
    const BesideCaptures beside;
    const cudaError_t error = cudaEventQuery(event_of(event));
    if (error == cudaErrorNotReady) static_cast<void>(cudaGetLastError());
    return error != cudaErrorNotReady;
  }

  Status wait(Event event) override {
    const BesideCaptures beside;
    return cuda_status(cudaEventSynchronize(event_of(event)), "wait for an event");
  }

  void destroy_event(Event event) override {
    const BesideCaptures beside;
    static_cast<void>(cuda_status(cudaEventDestroy(event_of(event)), "destroy an event"));
  }

 private:
  // The job's own, which torch uses as well; kept from the first call on.
  Result<CUcontext> context_of(int device, const ContextCalls& calls) {
    std::lock_guard lock(mutex_);
    CUcontext& context = contexts_[device];
    if (context != nullptr) return context;
    const CUresult result = calls.retain(&context, device);
    TINTYPE_RETURN_IF_ERROR(cuda_status(static_cast<cudaError_t>(result), "make a context"));
    return context;
  }

  std::mutex mutex_;
  std::map<int, CUcontext> contexts_;  // guarded by mutex_
};

}  // namespace

CudaApi* cuda_runtime_api() {
  static auto* const api = new CudaRuntimeApi();  // never destroyed, as context_calls()
  return api;
}

}  // namespace tintype
