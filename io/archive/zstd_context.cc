#include "io/archive/zstd_context.h"

#include <zstd_errors.h>

#include <new>

#include <fmt/format.h>

#include "base/check.h"
#include "base/no_memory.h"
#include "io/archive/extent_encoder.h"

namespace tintype {
namespace {

// ZSTD_c_literalCompressionMode and ZSTD_lcm_huffman of zstd 1.5, which are experimental: by their
// numbers, so that a library without them is noticed when it runs and not needed when it is linked.
constexpr auto kLiteralMode = static_cast<ZSTD_cParameter>(1002);
constexpr int kHuffmanLiterals = 1;

}  // namespace

Status zstd_status(size_t result, std::string_view operation) {
  if (ZSTD_isError(result) == 0) return Status::ok();
  std::string text = fmt::format("zstd {}: {}", operation, ZSTD_getErrorName(result));
  switch (ZSTD_getErrorCode(result)) {
    case ZSTD_error_memory_allocation: return no_memory(fmt::format("zstd {}", operation));
    case ZSTD_error_parameter_outOfBound:
    case ZSTD_error_parameter_unsupported: return Status::invalid_argument(std::move(text));
    case ZSTD_error_dictionary_wrong:
      return Status::unsupported("it was compressed with a dictionary of its own",
                                 "decompress it with `zstd -d -D DICTIONARY`");
    case ZSTD_error_frameParameter_windowTooLarge:
      return Status::unsupported(std::move(text), "decompress it with `zstd -d --long=31`");
    default: return Status::corruption(std::move(text));
  }
}

ZstdCompressor::ZstdCompressor(int level, Literals literals, bool is_checked)
    : context_(ZSTD_createCCtx()) {
  const auto set = [this](ZSTD_cParameter parameter, int value) {
    return ZSTD_isError(ZSTD_CCtx_setParameter(context_.get(), parameter, value)) == 0;
  };
  if (context_ == nullptr) throw std::bad_alloc();
  TINTYPE_CHECK(set(ZSTD_c_compressionLevel, level));
  TINTYPE_CHECK(set(ZSTD_c_checksumFlag, is_checked ? 1 : 0));
  if (literals == Literals::huffman) TINTYPE_CHECK(set(kLiteralMode, kHuffmanLiterals));
}

Result<size_t> ZstdCompressor::compress(ByteView source, MutableBytes target) {
  const size_t size =
      ZSTD_compress2(context_.get(), target.data(), target.size(), source.data(), source.size());
  if (ZSTD_isError(size) == 0) return size;
  if (ZSTD_getErrorCode(size) == ZSTD_error_dstSize_tooSmall) return size_t{0};
  if (ZSTD_getErrorCode(size) == ZSTD_error_memory_allocation) return zstd_status(size, "compress");
  return Status(StatusCode::internal, fmt::format("zstd compress: {}", ZSTD_getErrorName(size)));
}

ZstdDecompressor::ZstdDecompressor() : context_(ZSTD_createDCtx()) {
  if (context_ == nullptr) throw std::bad_alloc();
}

Status ZstdDecompressor::decompress(ByteView source, MutableBytes target) {
  const size_t size = ZSTD_decompressDCtx(context_.get(), target.data(), target.size(),
                                          source.data(), source.size());
  TINTYPE_RETURN_IF_ERROR(zstd_status(size, "decompress"));
  if (size == target.size()) return Status::ok();
  return Status::corruption(
      fmt::format("zstd decompress: {} bytes instead of {}", size, target.size()));
}

bool has_huffman_mode() {
  static const bool kHasIt = [] {
    std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(), &ZSTD_freeCCtx);
    return ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), kLiteralMode, kHuffmanLiterals)) == 0;
  }();
  return kHasIt;
}

std::string_view zstd_version() { return ZSTD_versionString(); }

}  // namespace tintype
