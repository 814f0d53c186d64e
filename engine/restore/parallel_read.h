// Work on pieces of a source, by the calling thread and by as many more as pay.
#pragma once

#include <cstdint>
#include <functional>

#include "base/bytes.h"
#include "base/status.h"
#include "io/archive/byte_source.h"

namespace tintype {

struct ReadOptions {
  uint32_t thread_count = 0;  // 0: as many as pay
  // Asked every few milliseconds, on the calling thread only; true ends with `interrupted`.
  std::function<bool()> is_interrupted;
};

// What one thread takes at a time.
inline constexpr uint64_t kPieceBytes = uint64_t{1} << 20;

// How many threads to read `total_bytes` with; at least 1, and 1 for a serial source.
uint32_t threads_that_pay(const ByteSource& source, uint64_t total_bytes,
                          const ReadOptions& options);

// Calls work(piece, thread) once for each piece below `piece_count`, in about ascending order;
// `thread` is below `thread_count`, for memory of its own. `interrupted` where the question was
// answered with true, resource_exhausted where work() threw bad_alloc: some pieces were left out
// then.
Status for_each_piece(size_t piece_count, uint32_t thread_count, const ReadOptions& options,
                      const std::function<void(size_t piece, uint32_t thread)>& work);

// Fills `target` from `offset` and returns the CRC-32 of what it got.
Result<uint32_t> read_in_parallel(const ByteSource& source, uint64_t offset, MutableBytes target,
                                  const ReadOptions& options);

}  // namespace tintype
