#include "engine/transcode/piece_output.h"

#include <cerrno>

namespace tintype {
namespace {

// Blocks are reserved ahead of the pieces in steps of this: writes that grow a file wait for each
// other.
constexpr uint64_t kReservedAheadBytes = uint64_t{64} << 20;

bool refuses_direct(const Status& status) {
  return status.error_number() == EINVAL || status.error_number() == EOPNOTSUPP;
}

}  // namespace

FileOutput::FileOutput(File& file, uint64_t reserved_bytes)
    : file_(file),
      reserved_bytes_(align_up(reserved_bytes, kDirectAlignmentBytes)),
      is_direct_(file.set_direct(true).is_ok()) {}

// Reserving is a help and no promise: what does not fit, the write says.
Status FileOutput::append(const AlignedBuffer&, size_t size_bytes, uint64_t offset) {
  const uint64_t end = align_up(offset + size_bytes, kDirectAlignmentBytes);
  if (end <= reserved_bytes_) return Status::ok();
  reserved_bytes_ = end + kReservedAheadBytes;
  static_cast<void>(file_.allocate(reserved_bytes_));
  return Status::ok();
}

Status FileOutput::store(const AlignedBuffer& piece, size_t size_bytes, uint64_t offset) {
  if (is_direct_) {
    const ByteView whole = piece.first(align_up(size_bytes, kDirectAlignmentBytes));
    const Status status = write_fully(file_, whole, offset);
    if (!refuses_direct(status)) return status;
    TINTYPE_RETURN_IF_ERROR(give_up_direct());
  }
  return write_fully(file_, piece.first(size_bytes), offset);
}

Status FileOutput::give_up_direct() {
  std::lock_guard lock(mutex_);
  if (!is_direct_) return Status::ok();
  TINTYPE_RETURN_IF_ERROR(file_.set_direct(false));
  is_direct_ = false;
  return Status::ok();
}

}  // namespace tintype
