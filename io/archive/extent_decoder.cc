#include "io/archive/extent_decoder.h"

#include <fmt/format.h>

#include "base/check.h"
#include "io/archive/compressed_form.h"
#include "io/archive/planes_decoder.h"
#include "io/archive/xxh64.h"
#include "io/archive/zstd_context.h"

namespace tintype {
namespace {

class ZstdDecoder final : public ExtentDecoder {
 public:
  explicit ZstdDecoder(bool has_checksums) : has_checksums_(has_checksums) {}

  Status decode(const IndexedExtent& extent, ByteView encoded, MutableBytes plain) override {
    const ByteView frame = encoded.first(extent.payload_bytes);
    TINTYPE_RETURN_IF_ERROR(check_padding(encoded.subspan(frame.size())));
    TINTYPE_RETURN_IF_ERROR(decompressor_.decompress(frame, plain));
    return has_checksums_ ? check_checksum(extent, frame, plain) : Status::ok();
  }

 private:
  static Status check_checksum(const IndexedExtent& extent, ByteView frame, ByteView plain) {
    if (ends_with_checksum(frame, extent.checksum)) return Status::ok();
    const auto checksum = static_cast<uint32_t>(xxh64(plain));
    if (checksum == extent.checksum) return Status::ok();
    return Status::corruption(fmt::format("checksum {:08x} instead of {:08x} in the seek table",
                                          checksum, extent.checksum));
  }

  // Frames of ours and of the zstd command do, and the library has compared it with the content;
  // those of zstd's own seekable format have none.
  static bool ends_with_checksum(ByteView frame, uint32_t checksum) {
    constexpr size_t kFlagsOffset = 4;
    constexpr std::byte kChecksumFlag{0x04};
    return load_little_endian<uint32_t>(frame, 0) == kZstdMagic &&
           (frame[kFlagsOffset] & kChecksumFlag) != std::byte{0} &&
           load_little_endian<uint32_t>(frame, frame.size() - sizeof(uint32_t)) == checksum;
  }

  // One or more skippable frames that fill it: else `zstd -d` reads other bytes than we do.
  static Status check_padding(ByteView padding) {
    while (!padding.empty()) {
      if (padding.size() < kFrameHeaderBytes ||
          !is_skippable_magic(load_little_endian<uint32_t>(padding, 0))) {
        return Status::corruption("what follows its frame is no padding");
      }
      const uint64_t frame_bytes =
          kFrameHeaderBytes + uint64_t{load_little_endian<uint32_t>(padding, 4)};
      if (frame_bytes > padding.size()) return Status::corruption("its padding is too long");
      padding = padding.subspan(frame_bytes);
    }
    return Status::ok();
  }

  const bool has_checksums_;
  ZstdDecompressor decompressor_;
};

// Says where in the file it is.
class PlacingDecoder final : public ExtentDecoder {
 public:
  explicit PlacingDecoder(std::unique_ptr<ExtentDecoder> decoder) : decoder_(std::move(decoder)) {}

  Status decode(const IndexedExtent& extent, ByteView encoded, MutableBytes plain) override {
    TINTYPE_CHECK(encoded.size() == extent.encoded_bytes && plain.size() == extent.plain_bytes);
    const Status status = decoder_->decode(extent, encoded, plain);
    if (status.is_ok()) return status;
    return status.with_context(fmt::format("at byte {} of the file", extent.file_offset));
  }

 private:
  const std::unique_ptr<ExtentDecoder> decoder_;
};

}  // namespace

std::unique_ptr<ExtentDecoder> ExtentDecoder::create(FileForm form, bool has_checksums) {
  TINTYPE_CHECK(form != FileForm::plain);
  std::unique_ptr<ExtentDecoder> decoder;
  if (form == FileForm::planes) {
    decoder = std::make_unique<PlanesDecoder>();
  } else {
    decoder = std::make_unique<ZstdDecoder>(has_checksums);
  }
  return std::make_unique<PlacingDecoder>(std::move(decoder));
}

}  // namespace tintype
