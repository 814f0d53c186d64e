#include "io/archive/extent_encoder.h"

#include <zstd.h>

#include <fmt/format.h>

#include "base/check.h"
#include "io/archive/compressed_form.h"
#include "io/archive/extent_padding.h"
#include "io/archive/planes_encoder.h"
#include "io/archive/zstd_encoder.h"

namespace tintype {
namespace {

// zstd stores blocks of 128 KiB that do not shrink with 3 bytes more each, in a frame of at
// most 22.
constexpr uint64_t kZstdBlockBytes = uint64_t{128} << 10;
constexpr uint64_t kZstdBlockHeaderBytes = 3;
constexpr uint64_t kFrameBytesMax = 64;  // with what the library wants to have free besides

}  // namespace

uint64_t encoded_bound_bytes(uint64_t plain_bytes) {
  const uint64_t blocks_bytes =
      plain_bytes + divide_up(plain_bytes, kZstdBlockBytes) * kZstdBlockHeaderBytes;
  return align_up(blocks_bytes + kFrameBytesMax + kFrameHeaderBytes, kEncodedAlignmentBytes);
}

Result<EncodedExtent> ExtentEncoder::encode_split(ByteView, const SplitExtent&, MutableBytes,
                                                  Coding) {
  TINTYPE_CHECK(false);
}

Result<std::unique_ptr<ExtentEncoder>> ExtentEncoder::create(const EncoderOptions& options) {
  switch (options.form) {
    case FileForm::plain: break;
    case FileForm::planes: return std::unique_ptr<ExtentEncoder>(new PlanesEncoder);
    case FileForm::zstd:
      if (options.zstd_level < 1 || options.zstd_level > ZSTD_maxCLevel()) {
        return Status::invalid_argument(fmt::format("zstd has no level {}: give one of 1 to {}",
                                                    options.zstd_level, ZSTD_maxCLevel()));
      }
      return std::unique_ptr<ExtentEncoder>(new ZstdEncoder(options.zstd_level));
  }
  return Status::invalid_argument("the plain form is not encoded");
}

}  // namespace tintype
