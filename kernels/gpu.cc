#include "kernels/gpu.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "kernels/current_device.h"

namespace tintype {
namespace {

// Smaller pieces go by the kernel, and those that are sorted into planes: at this size a copy
// engine moves one in about the time that it needs to begin the next. To be measured on each kind
// of device.
constexpr uint64_t kKernelBytesMax = 256u << 10;
// Small pieces into memory that is not pinned come by way of ours, up to so many bytes of a call.
constexpr uint64_t kBounceBytesMax = 16u << 20;
// Beside the job's kernels: enough threads to keep the bus busy, and few of its multiprocessors.
constexpr uint32_t kBackgroundBlocks = 16;
// As part of the job's work: the whole device.
constexpr uint32_t kForegroundBlocks = 4096;

}  // namespace

Result<std::unique_ptr<Gpu>> Gpu::open(CudaApi& api, PinnedMemory& pinned, int index) {
  TINTYPE_ASSIGN_OR_RETURN(const int count, api.device_count());
  if (index < 0 || index >= count) {
    return Status::unsupported(fmt::format("there is no cuda:{}, but {} devices", index, count));
  }
  std::unique_ptr<Gpu> gpu(new Gpu(api, pinned, index));
  TINTYPE_RETURN_IF_ERROR(gpu->create_streams());
  return gpu;
}

Status Gpu::create_streams() {
  const CurrentDevice current(api_, index_);
  TINTYPE_RETURN_IF_ERROR(current.status());
  TINTYPE_RETURN_IF_ERROR(api_.load_kernels());  // first: where it fails, nothing is left behind
  TINTYPE_ASSIGN_OR_RETURN(copy_stream_, api_.create_stream());
  TINTYPE_ASSIGN_OR_RETURN(kernel_stream_, api_.create_stream());
  TINTYPE_ASSIGN_OR_RETURN(kernels_end_, api_.create_event());
  return Status::ok();
}

Result<GpuEventPointer> Gpu::record(CudaApi::Stream stream) {
  const CurrentDevice current(api_, index_);
  TINTYPE_RETURN_IF_ERROR(current.status());
  TINTYPE_ASSIGN_OR_RETURN(const bool is_capturing, api_.is_capturing(stream));
  if (is_capturing) {
    return Status::unsupported(
        "a CUDA graph is being captured on this stream, whose work has not happened: save before "
        "the capture or after it");
  }
  TINTYPE_ASSIGN_OR_RETURN(const CudaApi::Event event, end(stream));
  return std::make_shared<GpuEvent>(api_, index_, event);
}

Result<GpuEventPointer> Gpu::copy(std::span<const CopyPiece> pieces, const GpuEvent* after) {
  Parts parts = divide(pieces);
  std::lock_guard lock(mutex_);
  const CurrentDevice current(api_, index_);
  TINTYPE_RETURN_IF_ERROR(current.status());
  std::vector<LaunchTable> tables;
  if (Status status = start(std::move(parts), after, tables); !status.is_ok()) {
    drain(kernel_stream_);
    drain(copy_stream_);
    return status;
  }
  TINTYPE_ASSIGN_OR_RETURN(const CudaApi::Event event, end(copy_stream_));
  const uint64_t number = launches_.add(std::move(tables));
  return std::make_shared<GpuEvent>(api_, index_, event, &launches_, number);
}

Gpu::Parts Gpu::divide(std::span<const CopyPiece> pieces) const {
  Parts parts;
  uint64_t bounced_bytes = 0;
  for (const CopyPiece& piece : pieces) {
    if (piece.crc != nullptr) {
      *piece.crc = 0;  // of an empty piece
      if (piece.size_bytes > 0) parts.checked.push_back(piece);
    }
    if (piece.size_bytes == 0) continue;
    const bool is_split = piece.planes.width > 1;
    const bool is_pinned = pinned_.contains({piece.target, piece.target_bytes()});
    TINTYPE_CHECK(is_pinned || !is_split);
    const uint64_t bounced_bytes_then = bounced_bytes + (is_pinned ? 0 : piece.size_bytes);
    const bool is_large = piece.size_bytes > kKernelBytesMax && !is_split;
    if (is_large || bounced_bytes_then > kBounceBytesMax) {
      parts.by_engine.push_back(piece);
      continue;
    }
    bounced_bytes = bounced_bytes_then;
    parts.by_kernel.push_back(piece);
    parts.is_bounced.push_back(!is_pinned);
  }
  return parts;
}

// `tables` gets those of all kernels, also where this fails.
Status Gpu::start(Parts parts, const GpuEvent* after, std::vector<LaunchTable>& tables) {
  if (after != nullptr) {
    TINTYPE_RETURN_IF_ERROR(api_.make_wait(kernel_stream_, after->handle()));
    TINTYPE_RETURN_IF_ERROR(api_.make_wait(copy_stream_, after->handle()));
  }
  TINTYPE_ASSIGN_OR_RETURN(LaunchTable copies,
                           LaunchTable::make(memory_, std::move(parts.by_kernel),
                                             LaunchTable::Purpose::gather, parts.is_bounced));
  tables.push_back(std::move(copies));
  TINTYPE_ASSIGN_OR_RETURN(LaunchTable crcs, LaunchTable::make(memory_, std::move(parts.checked),
                                                               LaunchTable::Purpose::crc32));
  tables.push_back(std::move(crcs));
  for (LaunchTable& table : tables) {
    TINTYPE_RETURN_IF_ERROR(table.launch(api_, kBackgroundBlocks, kernel_stream_));
  }
  for (const CopyPiece& piece : parts.by_engine) {
    TINTYPE_RETURN_IF_ERROR(api_.copy(piece.target, piece.source, piece.size_bytes, copy_stream_));
  }
  TINTYPE_RETURN_IF_ERROR(api_.record(kernels_end_, kernel_stream_));
  return api_.make_wait(copy_stream_, kernels_end_);
}

// A new event, recorded; on an error nothing of the stream is in flight. REQUIRES: the device is
// entered.
Result<CudaApi::Event> Gpu::end(CudaApi::Stream stream) {
  auto event = api_.create_event();
  if (!event.is_ok()) {
    drain(stream);
    return event;
  }
  if (Status status = api_.record(*event, stream); !status.is_ok()) {
    drain(stream);
    api_.destroy_event(*event);
    return status;
  }
  return event;
}

// A stream that cannot even be waited for is broken, and nothing of it arrives any more.
void Gpu::drain(CudaApi::Stream stream) { static_cast<void>(api_.synchronize(stream)); }

// Work that is being captured does not run now: nothing is lost by waiting here, where a wait in
// the graph would be for an event of today each time that it runs.
Status Gpu::make_wait(CudaApi::Stream stream, GpuEvent& event) {
  const CurrentDevice current(api_, index_);
  TINTYPE_RETURN_IF_ERROR(current.status());
  TINTYPE_ASSIGN_OR_RETURN(const bool is_capturing, api_.is_capturing(stream));
  if (is_capturing) return event.wait();
  return api_.make_wait(stream, event.handle());
}

Status Gpu::gather(std::span<const CopyPiece> pieces, CudaApi::Stream stream) {
  std::lock_guard lock(mutex_);
  const CurrentDevice current(api_, index_);
  TINTYPE_RETURN_IF_ERROR(current.status());
  std::erase_if(gathers_, [](const auto& gather) { return gather.first->is_over(); });
  TINTYPE_ASSIGN_OR_RETURN(
      LaunchTable table,
      LaunchTable::make(memory_, {pieces.begin(), pieces.end()}, LaunchTable::Purpose::gather));
  if (Status status = table.launch(api_, kForegroundBlocks, stream); !status.is_ok()) {
    drain(stream);
    return status;
  }
  TINTYPE_ASSIGN_OR_RETURN(const CudaApi::Event event, end(stream));
  gathers_.emplace_back(std::make_shared<GpuEvent>(api_, index_, event), std::move(table));
  return Status::ok();
}

}  // namespace tintype
