// The kernels on the host: the same per-thread functions, called in loops instead of by a GPU.
#pragma once

#include <cstdint>

#include "kernels/piece_table.h"

namespace tintype {

void gather_on_host(const PieceTable& table);

// `chunk_crcs` gets one CRC-32 for each chunk.
void crc32_on_host(const PieceTable& table, uint32_t* chunk_crcs);

}  // namespace tintype
