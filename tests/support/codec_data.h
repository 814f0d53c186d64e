// Plain bytes as checkpoints have them, for tests of the compressed forms.
#pragma once

#include <bit>
#include <cstdint>
#include <random>

#include "base/bytes.h"

namespace tintype {

enum class Content { zeros, random, weights_fp32, weights_bf16, counters_int64, text };

// Weights are normally distributed with a spread of 0.02.
inline ByteVector content_bytes(Content content, size_t size, uint32_t seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> weight(0.0F, 0.02F);
  ByteVector bytes;
  bytes.reserve(size + 8);
  while (bytes.size() < size) {
    switch (content) {
      case Content::zeros: bytes.resize(size); break;
      case Content::random:
        bytes.resize(size + 8);
        for (size_t i = 0; i < size; i += sizeof(uint32_t)) {
          store_little_endian(MutableBytes(bytes), i, static_cast<uint32_t>(random()));
        }
        break;
      case Content::weights_fp32:
        append_little_endian(bytes, std::bit_cast<uint32_t>(weight(random)));
        break;
      case Content::weights_bf16:
        append_little_endian(bytes,
                             static_cast<uint16_t>(std::bit_cast<uint32_t>(weight(random)) >> 16));
        break;
      case Content::counters_int64: append_little_endian(bytes, uint64_t{random() % 1000}); break;
      case Content::text: append_text(bytes, "model_state_dict/layer.weight "); break;
    }
  }
  bytes.resize(size);
  return bytes;
}

constexpr uint32_t element_bytes_of(Content content) {
  switch (content) {
    case Content::weights_fp32: return 4;
    case Content::weights_bf16: return 2;
    case Content::counters_int64: return 8;
    default: return 1;
  }
}

constexpr bool is_floating(Content content) {
  return content == Content::weights_fp32 || content == Content::weights_bf16;
}

}  // namespace tintype
