#include "engine/transcode/piece_output.h"

#include <algorithm>
#include <cerrno>

namespace tintype {
namespace {

// Blocks are reserved ahead of the pieces in steps of this: writes that grow a file wait for each
// other.
constexpr uint64_t kReservedAheadBytes = uint64_t{64} << 20;

size_t whole_blocks_bytes(size_t size_bytes) {
  return size_bytes - size_bytes % kDirectAlignmentBytes;
}

bool refuses_direct(const Status& status) {
  return status.error_number() == EINVAL || status.error_number() == EOPNOTSUPP;
}

}  // namespace

FileOutput::FileOutput(File& file, uint64_t reserved_bytes)
    : file_(file),
      reserved_bytes_(align_up(reserved_bytes, kDirectAlignmentBytes)),
      is_direct_(file.set_direct(true).is_ok()) {}

// Reserving is a help and no promise: what does not fit, the write says.
Status FileOutput::append(const AlignedBuffer& piece, size_t size_bytes, uint64_t offset) {
  const uint64_t end = align_up(offset + size_bytes, kDirectAlignmentBytes);
  if (end > reserved_bytes_) {
    reserved_bytes_ = end + kReservedAheadBytes;
    static_cast<void>(file_.allocate(reserved_bytes_));
  }
  if (held_back_bytes_ != 0) {  // this piece begins between two multiples, and so may others
    TINTYPE_RETURN_IF_ERROR(give_up_direct());
    TINTYPE_RETURN_IF_ERROR(write_held_back());
  }
  return is_direct_ ? hold_back(piece, size_bytes, offset) : Status::ok();
}

Status FileOutput::store(const AlignedBuffer& piece, size_t size_bytes, uint64_t offset) {
  if (is_direct_) {  // so was it in append(), which has kept the rest
    const Status status = write_fully(file_, piece.first(whole_blocks_bytes(size_bytes)), offset);
    if (!refuses_direct(status)) return status;
    TINTYPE_RETURN_IF_ERROR(give_up_direct());
  }
  return write_fully(file_, piece.first(size_bytes), offset);
}

Status FileOutput::finish() {
  if (is_direct_ && held_back_bytes_ != 0) {
    const Status status =
        write_fully(file_, held_back_.first(held_back_.size()), held_back_offset_);
    if (!refuses_direct(status)) return status;
    TINTYPE_RETURN_IF_ERROR(give_up_direct());
  }
  return write_held_back();
}

Status FileOutput::hold_back(const AlignedBuffer& piece, size_t size_bytes, uint64_t offset) {
  if (held_back_.size() == 0) {
    TINTYPE_ASSIGN_OR_RETURN(held_back_, AlignedBuffer::make(kDirectAlignmentBytes));
  }
  const size_t stored_bytes = whole_blocks_bytes(size_bytes);
  const ByteView rest = piece.first(size_bytes).subspan(stored_bytes);
  std::copy(rest.begin(), rest.end(), held_back_.first(rest.size()).begin());
  held_back_bytes_ = rest.size();
  held_back_offset_ = offset + stored_bytes;
  return Status::ok();
}

Status FileOutput::write_held_back() {
  const ByteView rest = held_back_.first(held_back_bytes_);
  held_back_bytes_ = 0;
  return write_fully(file_, rest, held_back_offset_);
}

Status FileOutput::give_up_direct() {
  std::lock_guard lock(mutex_);
  if (!is_direct_) return Status::ok();
  TINTYPE_RETURN_IF_ERROR(file_.set_direct(false));
  is_direct_ = false;
  return Status::ok();
}

}  // namespace tintype
