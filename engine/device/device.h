// A place where storages lie (a GPU, say), as the engine sees it: it copies to host memory, orders
// copies against the work of the job's streams, and tells when they are done.
//
// Implementations: host memory (host_device.h), CUDA (cuda_device.h, over kernels/), and the
// simulated device of the tests, on which every rule below is proven without a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/copy_piece.h"
#include "base/status.h"

namespace tintype {

// A stream of the job as its runtime names it (a cudaStream_t); 0 is the default stream.
using StreamHandle = uintptr_t;

// A point in the work of a device. Thread-safe. May be dropped before it is done.
class DeviceEvent {
 public:
  virtual ~DeviceEvent() = default;
  // True when the work before it has ended, well or not: nothing of it touches memory any more.
  virtual bool is_done() const = 0;
  // Sleeps until then; how the work went. May be called again and by several threads.
  virtual Status wait() = 0;
};

using EventPointer = std::shared_ptr<DeviceEvent>;  // null: done, and well

// Thread-safe. Outlives every engine that uses it. No call waits for the device, but for the
// host's, whose copies are over when copy() returns.
class Device {
 public:
  virtual ~Device() = default;

  virtual std::string name() const = 0;  // "cuda:0"

  // The present end of a stream: done when all that was given to it so far is. unsupported while
  // the stream captures its work for later instead of doing it.
  virtual Result<EventPointer> record(StreamHandle stream) = 0;

  // Starts copying all pieces to the host, on a queue of the device's own: not before `after`, and
  // in the order of the calls, so that the last event covers the earlier ones. Sources lie on the
  // device, targets in host memory; all of it stays valid until the event is done. CRCs stand when
  // the event says that it is done, or its wait() returns. On an error nothing is in flight.
  // `pieces` is read during the call only. REQUIRES: those that are sorted into planes go to memory
  // of can_split().
  virtual Result<EventPointer> copy(std::span<const CopyPiece> pieces,
                                    const EventPointer& after) = 0;

  // True where copy() can sort elements into planes on their way into this memory.
  virtual bool can_split(ByteView target) const = 0;

  // Work given to `stream` from now on starts after the event. Does not hold the caller.
  virtual Status make_wait(StreamHandle stream, const EventPointer& event) = 0;

  // Copies within the device, on `stream`, in order with the work given to it before and after:
  // into the slab, from where copy() takes it later. No CRCs.
  virtual Status gather(std::span<const CopyPiece> pieces, StreamHandle stream) = 0;

  // Keeps whole pages of host memory in their place, so that copies into them hold nobody: without
  // it copy() may wait. Touches them. May be refused, which changes nothing.
  virtual Status pin(MutableBytes memory) = 0;
  // Before the memory is unmapped. REQUIRES: the same range was pinned; no copy uses it.
  virtual void unpin(MutableBytes memory) = 0;
};

struct DeviceStream {
  Device* device = nullptr;
  StreamHandle stream = 0;
};

}  // namespace tintype
