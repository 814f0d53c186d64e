// The pieces of one launch, in memory that the kernels read.
#pragma once

#include <cstdint>

#include "base/copy_piece.h"
#include "base/gather_index.h"
#include "base/host_device.h"

namespace tintype {

// Passed to kernels by value. What it points to is memory that the device reads, and stays until
// they are done.
struct PieceTable {
  const CopyPiece* pieces = nullptr;       // their `crc` is not for the device
  const uint64_t* first_chunks = nullptr;  // [piece_count + 1], see gather::piece_of()
  uint32_t piece_count = 0;
  uint64_t chunk_count = 0;
};

// One chunk of a table, as addresses.
struct ChunkBytes {
  const std::byte* source = nullptr;
  std::byte* target = nullptr;
  uint64_t size_bytes = 0;
  PlaneSplit planes;
};

TINTYPE_HOST_DEVICE inline ChunkBytes chunk_bytes(const PieceTable& table, uint64_t chunk) {
  const uint32_t i = gather::piece_of(table.first_chunks, table.piece_count, chunk);
  const CopyPiece& piece = table.pieces[i];
  const gather::Chunk range = gather::chunk_of(piece.size_bytes, chunk - table.first_chunks[i]);
  return {piece.source + range.offset, piece.target + range.offset / piece.planes.width,
          range.size_bytes, piece.planes};
}

}  // namespace tintype
