#include "io/archive/zstd_encoder.h"

#include <algorithm>

#include "base/check.h"
#include "io/archive/compressed_form.h"
#include "io/archive/extent_padding.h"

namespace tintype {
namespace {

constexpr uint64_t kFrameChecksumBytes = 4;

void write_padding_frame(MutableBytes padding) {
  if (padding.empty()) return;
  store_little_endian(padding, 0, kSkippableMagic);
  store_little_endian(padding, 4, static_cast<uint32_t>(padding.size() - kFrameHeaderBytes));
  std::fill(padding.begin() + kFrameHeaderBytes, padding.end(), std::byte{0});
}

}  // namespace

// The fastest level finds no matches and leaves literals as they are: blocks of plain bytes.
ZstdEncoder::ZstdEncoder(int level)
    : best_(level, ZstdCompressor::Literals::by_level, true),
      raw_(kZstdFastestLevel, ZstdCompressor::Literals::by_level, true) {}

Result<EncodedExtent> ZstdEncoder::encode(ByteView plain, std::span<const ElementRun>,
                                          MutableBytes target, Coding coding) {
  TINTYPE_CHECK(!plain.empty() && plain.size() <= kPlainExtentBytesMax);
  TINTYPE_CHECK(target.size() >= encoded_bound_bytes(plain.size()));
  const MutableBytes room = target.first(encoded_bound_bytes(plain.size()) - kFrameHeaderBytes);
  size_t frame_bytes = 0;
  if (coding == Coding::best) {
    TINTYPE_ASSIGN_OR_RETURN(frame_bytes, best_.compress(plain, room.first(plain.size())));
  }
  const bool is_raw = frame_bytes == 0;
  if (is_raw) {
    TINTYPE_ASSIGN_OR_RETURN(frame_bytes, raw_.compress(plain, room));
    TINTYPE_CHECK(frame_bytes != 0);  // the bound holds for blocks of plain bytes
  }
  const uint64_t encoded_bytes = padded_extent_bytes(plain.size(), frame_bytes, kFrameHeaderBytes);
  write_padding_frame(target.subspan(frame_bytes, encoded_bytes - frame_bytes));
  return EncodedExtent{
      .plain_bytes = plain.size(),
      .encoded_bytes = encoded_bytes,
      .payload_bytes = frame_bytes,
      .checksum = load_little_endian<uint32_t>(target, frame_bytes - kFrameChecksumBytes),
      .is_raw = is_raw};
}

}  // namespace tintype
