#include "engine/device/host_device.h"

#include <array>
#include <cstring>

#include "io/archive/byte_planes.h"
#include "io/archive/compressed_form.h"
#include "io/archive/crc32.h"

namespace tintype {
namespace {

void split(const CopyPiece& piece) {
  const ByteView elements(piece.source, piece.size_bytes);
  if (piece.crc != nullptr) *piece.crc = crc32(0, elements);
  std::array<std::byte*, kPlanesPerElementMax> planes = {};
  for (uint32_t b = 0; b < piece.planes.width; ++b) {
    planes[b] = piece.target + plane_index(0, b, piece.planes.plane_bytes);
  }
  split_planes(elements, piece.planes.is_rotated, std::span(planes).first(piece.planes.width));
}

class HostDevice final : public Device {
 public:
  std::string name() const override { return "host"; }

  Result<EventPointer> record(StreamHandle) override { return EventPointer(); }

  Result<EventPointer> copy(std::span<const CopyPiece> pieces, const EventPointer& after) override {
    if (after != nullptr) TINTYPE_RETURN_IF_ERROR(after->wait());
    for (const CopyPiece& piece : pieces) {
      if (piece.planes.width > 1) {
        split(piece);
      } else if (piece.crc != nullptr) {
        *piece.crc = copy_with_crc32(MutableBytes(piece.target, piece.size_bytes),
                                     ByteView(piece.source, piece.size_bytes));
      } else if (piece.size_bytes > 0) {
        std::memcpy(piece.target, piece.source, piece.size_bytes);
      }
    }
    return EventPointer();
  }

  bool can_split(ByteView) const override { return true; }

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
