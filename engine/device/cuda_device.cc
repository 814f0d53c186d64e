#include "engine/device/cuda_device.h"

#include <utility>

#include "base/check.h"
#include "kernels/gpu.h"

namespace tintype {
namespace {

class CudaEvent final : public DeviceEvent {
 public:
  explicit CudaEvent(GpuEventPointer event) : event_(std::move(event)) {}
  bool is_done() const override { return event_->is_done(); }
  Status wait() override { return event_->wait(); }
  GpuEvent& event() const { return *event_; }

 private:
  const GpuEventPointer event_;
};

Result<EventPointer> as_event(Result<GpuEventPointer> event) {
  if (!event.is_ok()) return event.status();
  return EventPointer(std::make_shared<CudaEvent>(std::move(event).value()));
}

// Null for null. REQUIRES: an event of a CUDA device.
GpuEvent* gpu_event(const EventPointer& event) {
  if (event == nullptr) return nullptr;
  const auto* ours = dynamic_cast<const CudaEvent*>(event.get());
  TINTYPE_CHECK(ours != nullptr);
  return &ours->event();
}

class CudaDevice final : public Device {
 public:
  explicit CudaDevice(std::unique_ptr<Gpu> gpu) : gpu_(std::move(gpu)) {}

  std::string name() const override { return gpu_->name(); }
  Result<EventPointer> record(StreamHandle stream) override {
    return as_event(gpu_->record(stream));
  }
  Result<EventPointer> copy(std::span<const CopyPiece> pieces, const EventPointer& after) override {
    return as_event(gpu_->copy(pieces, gpu_event(after)));
  }
  bool can_split(ByteView target) const override { return gpu_->can_split(target); }
  Status make_wait(StreamHandle stream, const EventPointer& event) override {
    GpuEvent* const until = gpu_event(event);
    return until == nullptr ? Status::ok() : gpu_->make_wait(stream, *until);
  }
  Status gather(std::span<const CopyPiece> pieces, StreamHandle stream) override {
    return gpu_->gather(pieces, stream);
  }
  Status pin(MutableBytes memory) override { return gpu_->pin(memory); }
  void unpin(MutableBytes memory) override { gpu_->unpin(memory); }

 private:
  const std::unique_ptr<Gpu> gpu_;
};

}  // namespace

CudaDevices::~CudaDevices() = default;

Result<Device*> CudaDevices::device(int index) {
  std::lock_guard lock(mutex_);
  if (const auto known = unsupported_.find(index); known != unsupported_.end()) {
    return known->second;
  }
  auto& device = devices_[index];
  if (device != nullptr) return device.get();
  auto gpu = Gpu::open(api_, pinned_, index);
  if (!gpu.is_ok()) {
    if (gpu.status().code() == StatusCode::unsupported) unsupported_[index] = gpu.status();
    return gpu.status();
  }
  device = std::make_unique<CudaDevice>(std::move(gpu).value());
  return device.get();
}

bool is_built_with_cuda() { return cuda_runtime_api() != nullptr; }

Result<Device*> cuda_device(int index) {
  CudaApi* const api = cuda_runtime_api();
  if (api == nullptr) return Status::unsupported("this build has no CUDA part");
  static auto* const kDevices = new CudaDevices(*api);  // engines that end at exit still use it
  return kDevices->device(index);
}

}  // namespace tintype
