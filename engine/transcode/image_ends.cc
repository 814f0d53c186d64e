#include "engine/transcode/image_ends.h"

#include <algorithm>
#include <string_view>

namespace tintype {
namespace {

constexpr std::string_view kLocalHeader = "PK\x03\x04";
constexpr std::string_view kEndRecord = "PK\x05\x06";
constexpr size_t kTailBytes = (64u << 10) + 22;  // an end record and the longest comment

}  // namespace

void ImageEnds::see(ByteView piece) {
  const ByteView missing = piece.first(std::min(piece.size(), kLocalHeader.size() - head_.size()));
  head_.insert(head_.end(), missing.begin(), missing.end());
  const ByteView kept = piece.last(std::min(piece.size(), kTailBytes));
  const size_t spare = std::min(tail_.size(), kTailBytes - kept.size());
  tail_.erase(tail_.begin(), tail_.end() - static_cast<ptrdiff_t>(spare));
  tail_.insert(tail_.end(), kept.begin(), kept.end());
}

bool ImageEnds::begins() const { return as_text(head_) == kLocalHeader; }

bool ImageEnds::ends() const { return as_text(tail_).find(kEndRecord) != std::string_view::npos; }

bool ImageEnds::lacks_end() const { return begins() && !ends(); }

bool ImageEnds::is_whole() const { return begins() && ends(); }

}  // namespace tintype
