#include "tests/support/host_twins.h"

#include "kernels/crc32_thread.h"
#include "kernels/gather_thread.h"

namespace tintype {
namespace {

constexpr crc32_lanes::Tables kTables = crc32_lanes::make_tables();

}  // namespace

void gather_on_host(const PieceTable& table) {
  for (uint64_t chunk = 0; chunk < table.chunk_count; ++chunk) {
    const ChunkBytes bytes = chunk_bytes(table, chunk);
    for (uint32_t thread = 0; thread < kGatherThreads; ++thread) gather_chunk(bytes, thread);
  }
}

void crc32_on_host(const PieceTable& table, uint32_t* chunk_crcs) {
  for (uint64_t chunk = 0; chunk < table.chunk_count; ++chunk) {
    const ChunkBytes bytes = chunk_bytes(table, chunk);
    uint32_t sum = 0;
    for (uint32_t thread = 0; thread < crc32_lanes::kThreads; ++thread) {
      sum ^= crc32_part(kTables, bytes, thread);
    }
    chunk_crcs[chunk] = crc32_end(kTables, bytes, sum);
  }
}

}  // namespace tintype
