#include "io/archive/byte_planes_avx2.h"

#if defined(__x86_64__)

#include <immintrin.h>

#include <array>
#include <cstdint>

// 32 elements at a time, so that each plane gets one vector. Instructions of AVX2 that mix bytes do
// so in each half of a vector by itself: what is elements 0 to 15 and 16 to 31 of a plane lies in
// the halves of several vectors in between.
#define TINTYPE_AVX2 __attribute__((target("avx2"), always_inline)) inline

namespace tintype::avx2 {
namespace {

constexpr size_t kElements = 32;

// The compiler's own type cannot be a template's argument without a warning.
struct Vector {
  Vector() = default;
  TINTYPE_AVX2 Vector(__m256i of) : bits(of) {}           // NOLINT(google-explicit-constructor)
  TINTYPE_AVX2 operator __m256i() const { return bits; }  // NOLINT(google-explicit-constructor)
  __m256i bits;
};

TINTYPE_AVX2 Vector load(const std::byte* place) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(place));
}

TINTYPE_AVX2 void store(std::byte* place, Vector vector) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(place), vector);
}

TINTYPE_AVX2 Vector low_halves(Vector a, Vector b) { return _mm256_permute2x128_si256(a, b, 0x20); }

TINTYPE_AVX2 Vector high_halves(Vector a, Vector b) {
  return _mm256_permute2x128_si256(a, b, 0x31);
}

// --- elements of 2 bytes ---

struct Width2 {
  static constexpr size_t kWidth = 2;

  TINTYPE_AVX2 static Vector turn_left(Vector v) {
    return _mm256_or_si256(_mm256_slli_epi16(v, 1), _mm256_srli_epi16(v, 15));
  }
  TINTYPE_AVX2 static Vector turn_right(Vector v) {
    return _mm256_or_si256(_mm256_srli_epi16(v, 1), _mm256_slli_epi16(v, 15));
  }

  TINTYPE_AVX2 static void split(std::array<Vector, 2>& v) {
    const Vector by_byte = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15));
    for (Vector& vector : v) vector = _mm256_shuffle_epi8(vector, by_byte);
    const Vector low = _mm256_unpacklo_epi64(v[0], v[1]);
    const Vector high = _mm256_unpackhi_epi64(v[0], v[1]);
    v[0] = _mm256_permute4x64_epi64(low, 0xD8);
    v[1] = _mm256_permute4x64_epi64(high, 0xD8);
  }

  TINTYPE_AVX2 static void join(std::array<Vector, 2>& v) {
    const Vector a = _mm256_unpacklo_epi8(v[0], v[1]);
    const Vector b = _mm256_unpackhi_epi8(v[0], v[1]);
    v = {low_halves(a, b), high_halves(a, b)};
  }
};

// --- elements of 4 bytes ---

struct Width4 {
  static constexpr size_t kWidth = 4;

  TINTYPE_AVX2 static Vector turn_left(Vector v) {
    return _mm256_or_si256(_mm256_slli_epi32(v, 1), _mm256_srli_epi32(v, 31));
  }
  TINTYPE_AVX2 static Vector turn_right(Vector v) {
    return _mm256_or_si256(_mm256_srli_epi32(v, 1), _mm256_slli_epi32(v, 31));
  }

  TINTYPE_AVX2 static void split(std::array<Vector, 4>& v) {
    const Vector by_byte = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    const Vector in_order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    for (Vector& vector : v) vector = _mm256_shuffle_epi8(vector, by_byte);
    const Vector a = _mm256_unpacklo_epi32(v[0], v[1]);
    const Vector b = _mm256_unpackhi_epi32(v[0], v[1]);
    const Vector c = _mm256_unpacklo_epi32(v[2], v[3]);
    const Vector d = _mm256_unpackhi_epi32(v[2], v[3]);
    v = {_mm256_unpacklo_epi64(a, c), _mm256_unpackhi_epi64(a, c), _mm256_unpacklo_epi64(b, d),
         _mm256_unpackhi_epi64(b, d)};
    for (Vector& vector : v) vector = _mm256_permutevar8x32_epi32(vector, in_order);
  }

  TINTYPE_AVX2 static void join(std::array<Vector, 4>& v) {
    const Vector a = _mm256_unpacklo_epi8(v[0], v[1]);
    const Vector b = _mm256_unpackhi_epi8(v[0], v[1]);
    const Vector c = _mm256_unpacklo_epi8(v[2], v[3]);
    const Vector d = _mm256_unpackhi_epi8(v[2], v[3]);
    const Vector ac_low = _mm256_unpacklo_epi16(a, c);
    const Vector ac_high = _mm256_unpackhi_epi16(a, c);
    const Vector bd_low = _mm256_unpacklo_epi16(b, d);
    const Vector bd_high = _mm256_unpackhi_epi16(b, d);
    v = {low_halves(ac_low, ac_high), low_halves(bd_low, bd_high), high_halves(ac_low, ac_high),
         high_halves(bd_low, bd_high)};
  }
};

// --- elements of 8 bytes ---

struct Width8 {
  static constexpr size_t kWidth = 8;

  TINTYPE_AVX2 static Vector turn_left(Vector v) {
    return _mm256_or_si256(_mm256_slli_epi64(v, 1), _mm256_srli_epi64(v, 63));
  }
  TINTYPE_AVX2 static Vector turn_right(Vector v) {
    return _mm256_or_si256(_mm256_srli_epi64(v, 1), _mm256_slli_epi64(v, 63));
  }

  TINTYPE_AVX2 static void split(std::array<Vector, 8>& v) {
    const Vector by_byte = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15));
    for (Vector& vector : v) vector = _mm256_shuffle_epi8(vector, by_byte);
    std::array<Vector, 8> w;
    for (size_t i = 0; i < 8; i += 2) {
      w[i] = _mm256_unpacklo_epi16(v[i], v[i + 1]);
      w[i + 1] = _mm256_unpackhi_epi16(v[i], v[i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4) {
      v[i] = _mm256_unpacklo_epi32(w[i], w[i + 2]);
      v[i + 1] = _mm256_unpackhi_epi32(w[i], w[i + 2]);
      v[i + 2] = _mm256_unpacklo_epi32(w[i + 1], w[i + 3]);
      v[i + 3] = _mm256_unpackhi_epi32(w[i + 1], w[i + 3]);
    }
    for (size_t i = 0; i < 4; ++i) {
      w[2 * i] = pairs_in_order(_mm256_unpacklo_epi64(v[i], v[i + 4]));
      w[2 * i + 1] = pairs_in_order(_mm256_unpackhi_epi64(v[i], v[i + 4]));
    }
    v = w;
  }

  // Each vector held two elements in either half: pairs of bytes alternate between the halves.
  TINTYPE_AVX2 static Vector pairs_in_order(Vector v) {
    const __m128i low = _mm256_castsi256_si128(v);
    const __m128i high = _mm256_extracti128_si256(v, 1);
    return _mm256_set_m128i(_mm_unpackhi_epi16(low, high), _mm_unpacklo_epi16(low, high));
  }

  TINTYPE_AVX2 static void join(std::array<Vector, 8>& v) {
    std::array<Vector, 8> w;
    for (size_t i = 0; i < 4; ++i) {
      w[i] = _mm256_unpacklo_epi8(v[2 * i], v[2 * i + 1]);
      w[i + 4] = _mm256_unpackhi_epi8(v[2 * i], v[2 * i + 1]);
    }
    for (size_t i = 0; i < 8; i += 4) {
      v[i] = _mm256_unpacklo_epi16(w[i], w[i + 1]);
      v[i + 1] = _mm256_unpackhi_epi16(w[i], w[i + 1]);
      v[i + 2] = _mm256_unpacklo_epi16(w[i + 2], w[i + 3]);
      v[i + 3] = _mm256_unpackhi_epi16(w[i + 2], w[i + 3]);
    }
    for (size_t i = 0; i < 8; i += 4) {
      for (size_t j = 0; j < 2; ++j) {
        const Vector low = _mm256_unpacklo_epi32(v[i + j], v[i + j + 2]);
        const Vector high = _mm256_unpackhi_epi32(v[i + j], v[i + j + 2]);
        w[i / 2 + j] = low_halves(low, high);
        w[i / 2 + j + 4] = high_halves(low, high);
      }
    }
    v = w;
  }
};

// --- all of them ---

template <typename Width, bool is_rotated>
__attribute__((target("avx2"))) size_t split_all(ByteView elements,
                                                 std::span<std::byte* const> planes) {
  constexpr size_t kWidth = Width::kWidth;
  const size_t end = elements.size() / kWidth / kElements * kElements;
  for (size_t i = 0; i < end; i += kElements) {
    std::array<Vector, kWidth> v;
    for (size_t j = 0; j < kWidth; ++j) {
      v[j] = load(elements.data() + i * kWidth + j * kElements);
      if constexpr (is_rotated) v[j] = Width::turn_left(v[j]);
    }
    Width::split(v);
    for (size_t b = 0; b < kWidth; ++b) store(planes[b] + i, v[b]);
  }
  return end;
}

template <typename Width, bool is_rotated>
__attribute__((target("avx2"))) size_t join_all(std::span<const std::byte* const> planes,
                                                MutableBytes elements) {
  constexpr size_t kWidth = Width::kWidth;
  const size_t end = elements.size() / kWidth / kElements * kElements;
  for (size_t i = 0; i < end; i += kElements) {
    std::array<Vector, kWidth> v;
    for (size_t b = 0; b < kWidth; ++b) v[b] = load(planes[b] + i);
    Width::join(v);
    for (size_t j = 0; j < kWidth; ++j) {
      if constexpr (is_rotated) v[j] = Width::turn_right(v[j]);
      store(elements.data() + i * kWidth + j * kElements, v[j]);
    }
  }
  return end;
}

template <typename Width>
size_t split(ByteView elements, bool is_rotated, std::span<std::byte* const> planes) {
  return is_rotated ? split_all<Width, true>(elements, planes)
                    : split_all<Width, false>(elements, planes);
}

template <typename Width>
size_t join(std::span<const std::byte* const> planes, bool is_rotated, MutableBytes elements) {
  return is_rotated ? join_all<Width, true>(planes, elements)
                    : join_all<Width, false>(planes, elements);
}

}  // namespace

bool is_here() { return __builtin_cpu_supports("avx2") != 0; }

size_t split_planes(ByteView elements, bool is_rotated, std::span<std::byte* const> planes) {
  switch (planes.size()) {
    case 2: return split<Width2>(elements, is_rotated, planes);
    case 4: return split<Width4>(elements, is_rotated, planes);
    case 8: return split<Width8>(elements, is_rotated, planes);
    default: return 0;
  }
}

size_t join_planes(std::span<const std::byte* const> planes, bool is_rotated,
                   MutableBytes elements) {
  switch (planes.size()) {
    case 2: return join<Width2>(planes, is_rotated, elements);
    case 4: return join<Width4>(planes, is_rotated, elements);
    case 8: return join<Width8>(planes, is_rotated, elements);
    default: return 0;
  }
}

}  // namespace tintype::avx2

#else

namespace tintype::avx2 {

bool is_here() { return false; }

size_t split_planes(ByteView, bool, std::span<std::byte* const>) { return 0; }

size_t join_planes(std::span<const std::byte* const>, bool, MutableBytes) { return 0; }

}  // namespace tintype::avx2

#endif
