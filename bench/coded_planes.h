// What the planes form leaves to libzstd: the planes of an extent that are coded. Coding them with
// nothing around it (no CRC, no sorting, no sampling) is as fast as the form could be made.
#pragma once

#include <map>
#include <vector>

#include "base/bytes.h"
#include "io/archive/compressed_form.h"
#include "io/archive/extent_encoder.h"
#include "io/archive/zstd_context.h"

namespace tintype {

class CodedPlanes {
 public:
  CodedPlanes();

  // Finds out which planes of `plain` the form codes, and keeps them and their frames. The bytes at
  // plain.data() are what the other calls mean by them.
  void prepare(ByteView plain, std::span<const ElementRun> runs);
  bool is_prepared(ByteView plain) const { return planes_.count(plain.data()) != 0; }

  // Codes those planes one behind the other into `target`; returns the bytes of their frames.
  size_t encode(ByteView plain, MutableBytes target);
  // Decodes the frames again.
  void decode(ByteView plain);

 private:
  struct Plane {
    PlaneKind kind;
    ByteVector bytes;
    ByteVector frame;
  };

  void keep_planes(const PlaneRun& run, uint32_t kinds, ByteView elements,
                   std::vector<Plane>& kept) const;

  std::unique_ptr<ExtentEncoder> encoder_;
  ZstdCompressor huffman_;
  ZstdCompressor matches_;
  ZstdDecompressor decompressor_;
  ByteVector decoded_;
  std::map<const std::byte*, std::vector<Plane>> planes_;
};

}  // namespace tintype
