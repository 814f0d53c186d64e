// One GPU: copies to the host beside the job's work, and within the device as part of it.
//
// Two streams of its own. Large pieces go to the host by a copy engine, on the copy stream; the
// kernels that check them, and that copy small pieces (thousands of which would each cost a copy
// engine more than their bytes do), run on the kernel stream meanwhile. Both start behind the job's
// stream, and the copy stream ends with the kernel stream's part.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/copy_piece.h"
#include "base/status.h"
#include "kernels/cuda_api.h"
#include "kernels/gpu_event.h"
#include "kernels/launch_table.h"
#include "kernels/pinned_memory.h"

namespace tintype {

using GpuEventPointer = std::shared_ptr<GpuEvent>;

// Thread-safe. Lives to the end of the process.
class Gpu {
 public:
  // `api` and `pinned` outlive it. unsupported where there is no such device, no driver, or no
  // code for that device in this build.
  static Result<std::unique_ptr<Gpu>> open(CudaApi& api, PinnedMemory& pinned, int index);

  std::string name() const { return "cuda:" + std::to_string(index_); }

  // The present end of a stream. unsupported while the stream captures a graph: what it is given
  // then has not happened.
  Result<GpuEventPointer> record(CudaApi::Stream stream);
  // Starts copying from the device to the host, not before `after` (null: at once). The event is
  // done when all pieces and their CRCs are there, and so are those of earlier calls. Large pieces
  // into memory that is not pinned hold the caller until they have arrived. On an error nothing is
  // in flight. REQUIRES: pieces that are sorted into planes go to memory of can_split().
  Result<GpuEventPointer> copy(std::span<const CopyPiece> pieces, const GpuEvent* after);
  // A kernel sorts the elements of copies into this memory.
  bool can_split(ByteView target) const { return pinned_.contains(target); }
  // Work given to the stream from now on starts after the event.
  Status make_wait(CudaApi::Stream stream, GpuEvent& event);
  // Copies within the device, in order with the stream's work. No CRCs.
  Status gather(std::span<const CopyPiece> pieces, CudaApi::Stream stream);

  Status pin(MutableBytes memory) { return pinned_.pin(index_, memory); }
  void unpin(MutableBytes memory) { pinned_.unpin(index_, memory); }

  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

 private:
  // The pieces of one copy by what moves and checks them.
  struct Parts {
    std::vector<CopyPiece> by_engine;
    std::vector<CopyPiece> by_kernel;
    std::vector<bool> is_bounced;  // parallel to by_kernel
    std::vector<CopyPiece> checked;
  };

  Gpu(CudaApi& api, PinnedMemory& pinned, int index)
      : api_(api), pinned_(pinned), index_(index), memory_(api) {}
  Status create_streams();
  Parts divide(std::span<const CopyPiece> pieces) const;
  Status start(Parts parts, const GpuEvent* after, std::vector<LaunchTable>& tables);
  Result<CudaApi::Event> end(CudaApi::Stream stream);
  void drain(CudaApi::Stream stream);

  CudaApi& api_;
  PinnedMemory& pinned_;
  const int index_;
  TableMemoryPool memory_;
  CudaApi::Stream copy_stream_ = 0;
  CudaApi::Stream kernel_stream_ = 0;
  CudaApi::Event kernels_end_ = 0;

  // A copy's launches and its event follow each other without another copy's between them.
  std::mutex mutex_;
  LaunchQueue launches_;
  // The tables of gathers, each with the event of its end. Guarded by mutex_.
  std::vector<std::pair<GpuEventPointer, LaunchTable>> gathers_;
};

}  // namespace tintype
