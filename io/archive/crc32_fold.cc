#include "io/archive/crc32_fold.h"

#include <array>

#include "base/crc32_combine.h"
#include "io/archive/crc32.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tintype {
namespace {

#if defined(__x86_64__)

// Moving a 128-bit lane `bytes` further along the message multiplies it by x^(8 * bytes). Its two
// halves are 64 bits apart, and a product of reflected operands comes out one bit low: hence the
// 32 bits more or less in the exponents and the shift.
constexpr int64_t fold_constant(uint64_t bytes) {
  return static_cast<int64_t>(static_cast<uint64_t>(crc32_detail::x_to_bytes(bytes)) << 1);
}
constexpr int64_t kFoldLow = fold_constant(kFoldBytes + 4);
constexpr int64_t kFoldHigh = fold_constant(kFoldBytes - 4);
static_assert(fold_constant(64 + 4) == 0x154442bd4 && fold_constant(64 - 4) == 0x1c6e41596,
              "the constants that are published for a distance of 64 bytes");

// After folding, the accumulators are a message of kFoldBytes with the CRC of the whole. The seed
// is already in them, so their CRC starts from an empty register.
uint32_t crc_of(const std::array<std::byte, kFoldBytes>& accumulators) {
  return crc32(~uint32_t{0}, accumulators);
}

// 256 bits at a time: AMD since Zen 3, Intel since Ice Lake.
__attribute__((target("avx2,vpclmulqdq"))) uint32_t copy_wide(uint32_t seed, MutableBytes target,
                                                              ByteView source) {
  constexpr size_t kLanes = kFoldBytes / sizeof(__m256i);
  const __m256i fold = _mm256_set_epi64x(kFoldHigh, kFoldLow, kFoldHigh, kFoldLow);
  const auto* from = reinterpret_cast<const __m256i*>(source.data());
  auto* to = reinterpret_cast<__m256i*>(target.data());
  const auto* const end = from + source.size() / sizeof(__m256i);

  __m256i sums[kLanes];
  for (size_t i = 0; i < kLanes; ++i) {
    sums[i] = _mm256_loadu_si256(from + i);
    _mm256_stream_si256(to + i, sums[i]);
  }
  sums[0] =
      _mm256_xor_si256(sums[0], _mm256_zextsi128_si256(_mm_cvtsi32_si128(static_cast<int>(~seed))));
  for (from += kLanes, to += kLanes; from != end; from += kLanes, to += kLanes) {
    for (size_t i = 0; i < kLanes; ++i) {
      const __m256i next = _mm256_loadu_si256(from + i);
      _mm256_stream_si256(to + i, next);
      const __m256i low = _mm256_clmulepi64_epi128(sums[i], fold, 0x00);
      const __m256i high = _mm256_clmulepi64_epi128(sums[i], fold, 0x11);
      sums[i] = _mm256_xor_si256(_mm256_xor_si256(low, high), next);
    }
  }
  _mm_sfence();

  std::array<std::byte, kFoldBytes> accumulators;
  for (size_t i = 0; i < kLanes; ++i) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(accumulators.data()) + i, sums[i]);
  }
  return crc_of(accumulators);
}

// 128 bits at a time: every x86 server since 2010.
__attribute__((target("sse4.1,pclmul"))) uint32_t copy_narrow(uint32_t seed, MutableBytes target,
                                                              ByteView source) {
  constexpr size_t kLanes = kFoldBytes / sizeof(__m128i);
  const __m128i fold = _mm_set_epi64x(kFoldHigh, kFoldLow);
  const auto* from = reinterpret_cast<const __m128i*>(source.data());
  auto* to = reinterpret_cast<__m128i*>(target.data());
  const auto* const end = from + source.size() / sizeof(__m128i);

  __m128i sums[kLanes];
  for (size_t i = 0; i < kLanes; ++i) {
    sums[i] = _mm_loadu_si128(from + i);
    _mm_stream_si128(to + i, sums[i]);
  }
  sums[0] = _mm_xor_si128(sums[0], _mm_cvtsi32_si128(static_cast<int>(~seed)));
  for (from += kLanes, to += kLanes; from != end; from += kLanes, to += kLanes) {
    for (size_t i = 0; i < kLanes; ++i) {
      const __m128i next = _mm_loadu_si128(from + i);
      _mm_stream_si128(to + i, next);
      const __m128i low = _mm_clmulepi64_si128(sums[i], fold, 0x00);
      const __m128i high = _mm_clmulepi64_si128(sums[i], fold, 0x11);
      sums[i] = _mm_xor_si128(_mm_xor_si128(low, high), next);
    }
  }
  _mm_sfence();

  std::array<std::byte, kFoldBytes> accumulators;
  for (size_t i = 0; i < kLanes; ++i) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(accumulators.data()) + i, sums[i]);
  }
  return crc_of(accumulators);
}

#endif

}  // namespace

FoldingCopy folding_copy() {
#if defined(__x86_64__)
  static const FoldingCopy chosen = []() -> FoldingCopy {
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("vpclmulqdq")) return &copy_wide;
    if (__builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("pclmul")) return &copy_narrow;
    return nullptr;
  }();
  return chosen;
#else
  return nullptr;
#endif
}

}  // namespace tintype
