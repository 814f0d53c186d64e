#include "io/archive/extent_encoder.h"

#include <zstd.h>

#include <algorithm>
#include <array>

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

// By level, from 1 on. The library tells what a context holds only when it does hold it.
constexpr auto kZstdEncoderMib = std::to_array<uint64_t>(
    {2, 2, 2, 4, 5, 5, 8, 8, 14, 26, 26, 50, 34, 50, 66, 34, 50, 50, 82, 98, 130, 130});
constexpr uint64_t kPlanesEncoderMib = 3;

}  // namespace

uint64_t encoded_bound_bytes(uint64_t plain_bytes) {
  const uint64_t blocks_bytes =
      plain_bytes + divide_up(plain_bytes, kZstdBlockBytes) * kZstdBlockHeaderBytes;
  return align_up(blocks_bytes + kFrameBytesMax + kFrameHeaderBytes, kEncodedAlignmentBytes);
}

uint64_t encoder_memory_bytes(const EncoderOptions& options) {
  if (options.form == FileForm::planes) return kPlanesEncoderMib << 20;
  const auto level = static_cast<size_t>(std::max(1, options.zstd_level));
  return kZstdEncoderMib[std::min(level, kZstdEncoderMib.size()) - 1] << 20;
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
