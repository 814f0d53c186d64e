// Frames of zstd: a file read front to back, and one frame decoded as an extent.
#include <algorithm>
#include <memory>

#include "engine/restore/image.h"
#include "io/archive/extent_decoder.h"
#include "io/archive/zstd_stream.h"
#include "tests/fuzz/target.h"

namespace tintype::fuzzing {
namespace {

constexpr uint64_t kPlainBytesMax = 256u << 10;
const ReadLimits kLimits = {.image_free_bytes = 64u << 10,
                            .streamed_image_bytes = kPlainBytesMax,
                            .streamed_window_log = 18};  // larger ones take time, not code

// Fed by pieces of this size into room of this size.
Result<ByteVector> stream(ByteView input, size_t piece_bytes) {
  ZstdStream stream("input", kLimits);
  ByteVector plain;
  ByteVector room(piece_bytes);
  for (size_t at = 0; at < input.size(); at += piece_bytes) {
    ByteView piece = input.subspan(at, std::min(piece_bytes, input.size() - at));
    for (size_t count = 1; count != 0 || !piece.empty();) {
      TINTYPE_ASSIGN_OR_RETURN(count, stream.decode(piece, room));
      TINTYPE_CHECK(count <= room.size());
      append_bytes(plain, ByteView(room).first(count));
      if (plain.size() > kPlainBytesMax) return Status::unsupported("too long");
    }
  }
  TINTYPE_RETURN_IF_ERROR(stream.finish());
  return plain;
}

// However a file is cut up, its content is the same; only where it is refused may differ.
void check_streams(ByteView input) {
  const auto small = stream(input, 509);
  const auto large = stream(input, 64u << 10);
  if (!small.is_ok()) check_refusal(small.status());
  if (!large.is_ok()) check_refusal(large.status());
  if (!small.is_ok() || !large.is_ok()) return;
  TINTYPE_CHECK(*small == *large);
  const auto image = image_of(std::make_unique<SerialSource>(input), kLimits);
  if (!image.is_ok() || image->form != FileForm::zstd || image->compressed != nullptr) return;
  const auto whole = read_range(*image->source, 0, image->source->size_bytes());
  TINTYPE_CHECK(whole.is_ok() && *whole == *small);
}

// The same bytes, whatever stood in memory before.
void check_extent(ByteView input) {
  constexpr std::byte kFills[] = {std::byte{0}, std::byte{0xFF}};
  const uint64_t stated = ZSTD_getFrameContentSize(input.data(), input.size());
  if (input.size() < sizeof(uint32_t) || stated == 0 || stated > kPlainBytesMax) return;
  const size_t frame_bytes = ZSTD_findFrameCompressedSize(input.data(), input.size());
  if (ZSTD_isError(frame_bytes) != 0) return;
  const IndexedExtent extent{
      .plain_bytes = static_cast<uint32_t>(stated),
      .encoded_bytes = static_cast<uint32_t>(input.size()),
      .payload_bytes = static_cast<uint32_t>(frame_bytes),
      .checksum = load_little_endian<uint32_t>(input, frame_bytes - sizeof(uint32_t))};
  for (const bool has_checksums : {false, true}) {
    static const auto kDecoders = {ExtentDecoder::create(FileForm::zstd, false),
                                   ExtentDecoder::create(FileForm::zstd, true)};
    ExtentDecoder& decoder = **(kDecoders.begin() + (has_checksums ? 1 : 0));
    ByteVector plain[] = {ByteVector(stated, kFills[0]), ByteVector(stated, kFills[1])};
    const Status first = decoder.decode(extent, input, plain[0]);
    check_same(first, decoder.decode(extent, input, plain[1]));
    if (first.is_ok()) {
      TINTYPE_CHECK(plain[0] == plain[1]);
    } else {
      check_refusal(first);
    }
  }
}

}  // namespace
}  // namespace tintype::fuzzing

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace tintype::fuzzing;
  const tintype::ByteView input = input_of(data, size);
  check_streams(input);
  check_extent(input);
  return 0;
}
