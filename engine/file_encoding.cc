#include "engine/file_encoding.h"

namespace tintype {

FileEncoding::FileEncoding(const TargetForm& form, ElementMap elements)
    : form_(form),
      elements_(std::move(elements)),
      head_(file_head(form.form)),
      end_offset_(head_.size()) {}

std::vector<PlacedExtent> FileEncoding::put(size_t extent, SlotLease slot,
                                            const EncodedExtent& encoded) {
  std::lock_guard lock(mutex_);
  waiting_.emplace(extent, std::pair(std::move(slot), encoded));
  std::vector<PlacedExtent> placed;
  for (auto next = waiting_.begin(); next != waiting_.end() && next->first == placed_.size();
       next = waiting_.erase(next)) {
    auto& [its_slot, its_encoding] = next->second;
    placed.push_back({std::move(its_slot), its_encoding, end_offset_});
    placed_.push_back(its_encoding);
    end_offset_ += its_encoding.encoded_bytes;
  }
  return placed;
}

Result<uint64_t> FileEncoding::write_ends(File& file) const {
  std::lock_guard lock(mutex_);
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector tail, file_tail(form_.form, placed_));
  TINTYPE_RETURN_IF_ERROR(write_fully(file, head_, 0));
  TINTYPE_RETURN_IF_ERROR(write_fully(file, tail, end_offset_));
  return end_offset_ + tail.size();
}

}  // namespace tintype
