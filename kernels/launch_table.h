// A piece table on its way to a kernel, and what the kernel gives back.
//
// It is written in pinned memory and copied to the device, on the stream of the kernel and before
// it; a device without room for it reads it where it is, which is slower. Chunk CRCs, and pieces
// whose targets the device cannot reach, come back in the pinned memory.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/copy_piece.h"
#include "kernels/cuda_api.h"

namespace tintype {

struct TableMemory {
  MutableBytes host;    // pinned: the table, then what comes back
  MutableBytes device;  // the table alone; empty: the device had no room
};

// Memory of one device for launch tables: allocated when none is free, reused, never freed. There
// is as much as launches were ever in flight at once. On a device that refused once no more is
// asked for: the job has the rest. Thread-safe.
class TableMemoryPool {
 public:
  explicit TableMemoryPool(CudaApi& api) : api_(api) {}
  // REQUIRES: the device is entered.
  Result<TableMemory> take(uint64_t table_bytes, uint64_t result_bytes);
  void give_back(const TableMemory& memory);

 private:
  std::optional<TableMemory> take_free(uint64_t table_bytes, uint64_t result_bytes);

  CudaApi& api_;
  std::mutex mutex_;
  std::vector<TableMemory> free_;  // guarded by mutex_
  std::atomic<bool> is_device_full_ = false;
};

// Move-only; gives its memory back when it ends, which must be after the kernel did.
class LaunchTable {
 public:
  enum class Purpose { gather, crc32 };

  // An empty one, which launches nothing.
  LaunchTable() = default;
  // Keeps the pieces; takes room for CRCs, or for the pieces that `is_bounced` (parallel to
  // `pieces`, or empty: none) names. REQUIRES: the device is entered; `pool` outlives the table.
  static Result<LaunchTable> make(TableMemoryPool& pool, std::vector<CopyPiece> pieces,
                                  Purpose purpose, const std::vector<bool>& is_bounced = {});
  LaunchTable(LaunchTable&& other) noexcept;
  LaunchTable& operator=(LaunchTable&& other) noexcept;
  ~LaunchTable();

  bool is_empty() const { return chunk_count_ == 0; }
  // Starts the kernel, and before it the copy to the device where that has room.
  Status launch(CudaApi& api, uint32_t blocks_max, CudaApi::Stream stream);
  // Hands out what came back: CRCs, bounced pieces. REQUIRES: the kernel has ended, well.
  void deliver();

 private:
  struct Bounce {
    const std::byte* from = nullptr;  // in memory_
    MutableBytes to;
  };

  void write_table(const std::vector<bool>& is_bounced);
  void deliver_crcs() const;
  std::byte* results() const { return memory_.host.data() + table_bytes(); }
  uint64_t table_bytes() const;
  void give_back();

  TableMemoryPool* pool_ = nullptr;
  Purpose purpose_ = Purpose::gather;
  TableMemory memory_;
  std::vector<CopyPiece> pieces_;
  std::vector<Bounce> bounces_;
  uint64_t chunk_count_ = 0;
};

}  // namespace tintype
