#include "engine/device/host_device.h"

#include <cstring>

#include "io/archive/crc32.h"

namespace tintype {
namespace {

class HostDevice final : public Device {
 public:
  std::string name() const override { return "host"; }

  Result<EventPointer> record(StreamHandle) override { return EventPointer(); }

  Result<EventPointer> copy(std::span<const CopyPiece> pieces, const EventPointer& after) override {
    if (after != nullptr) TINTYPE_RETURN_IF_ERROR(after->wait());
    for (const CopyPiece& piece : pieces) {
      if (piece.crc != nullptr) {
        *piece.crc = copy_with_crc32(MutableBytes(piece.target, piece.size_bytes),
                                     ByteView(piece.source, piece.size_bytes));
      } else if (piece.size_bytes > 0) {
        std::memcpy(piece.target, piece.source, piece.size_bytes);
      }
    }
    return EventPointer();
  }

  Status make_wait(StreamHandle, const EventPointer&) override { return Status::ok(); }

  Status gather(std::span<const CopyPiece> pieces, StreamHandle) override {
    return copy(pieces, nullptr).status();
  }

  Status pin(MutableBytes) override { return Status::ok(); }
  void unpin(MutableBytes) override {}
};

}  // namespace

Device& host_device() {
  static HostDevice device;
  return device;
}

}  // namespace tintype
