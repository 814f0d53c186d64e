// Whole files of the compressed forms, made and read in memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/element_map.h"
#include "io/archive/extent_decoder.h"
#include "io/archive/extent_encoder.h"

namespace tintype {

inline ByteVector compressed_file(FileForm form, ByteView plain, const ElementMap& elements,
                                  uint64_t extent_bytes) {
  const auto encoder = ExtentEncoder::create({.form = form}).value();
  std::vector<EncodedExtent> extents;
  ByteVector file = file_head(form);
  for (uint64_t offset = 0; offset < plain.size(); offset += extent_bytes) {
    const uint64_t size_bytes = std::min<uint64_t>(extent_bytes, plain.size() - offset);
    const size_t begin = file.size();
    file.resize(begin + encoded_bound_bytes(size_bytes));
    extents.push_back(encoder
                          ->encode(plain.subspan(offset, size_bytes),
                                   elements.runs_in(offset, size_bytes),
                                   MutableBytes(file).subspan(begin))
                          .value());
    file.resize(begin + extents.back().encoded_bytes);
  }
  append_bytes(file, file_tail(form, extents).value());
  return file;
}

// The plain image, one extent after the other.
inline Result<ByteVector> decompressed_file(FileForm form, ByteView file) {
  const MemorySource source(file, "x");
  TINTYPE_ASSIGN_OR_RETURN(const FrameIndex index, read_frame_index(source, form));
  const auto decoder = ExtentDecoder::create(form, index.has_checksums);
  ByteVector plain(index.plain_bytes);
  for (const IndexedExtent& extent : index.extents) {
    TINTYPE_RETURN_IF_ERROR(
        decoder->decode(extent, file.subspan(extent.file_offset, extent.encoded_bytes),
                        MutableBytes(plain).subspan(extent.plain_offset, extent.plain_bytes)));
  }
  return plain;
}

}  // namespace tintype
