#include "kernels/launch_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/crc32_combine.h"
#include "base/gather_index.h"

namespace tintype {
namespace {

constexpr uint64_t kMemoryBytesMin = 4u << 10;  // a page: what an extent's launch needs
constexpr uint64_t kBounceAlignmentBytes = 16;

uint64_t result_bytes(LaunchTable::Purpose purpose, const std::vector<CopyPiece>& pieces,
                      uint64_t chunk_count, const std::vector<bool>& is_bounced) {
  if (purpose == LaunchTable::Purpose::crc32) return chunk_count * sizeof(uint32_t);
  uint64_t total = 0;
  for (size_t i = 0; i < is_bounced.size(); ++i) {
    if (is_bounced[i]) total += align_up(pieces[i].size_bytes, kBounceAlignmentBytes);
  }
  return total;
}

// In powers of two, so that what is given back serves others.
uint64_t rounded(uint64_t bytes) { return std::bit_ceil(std::max(bytes, kMemoryBytesMin)); }

}  // namespace

Result<TableMemory> TableMemoryPool::take(uint64_t table_bytes, uint64_t result_bytes) {
  if (const auto free = take_free(table_bytes, result_bytes)) return *free;
  TableMemory memory;
  TINTYPE_ASSIGN_OR_RETURN(memory.host, api_.allocate_on_host(rounded(table_bytes + result_bytes)));
  if (is_device_full_) return memory;
  const auto device = api_.allocate_on_device(rounded(table_bytes));
  if (device.is_ok()) {
    memory.device = *device;
  } else {
    is_device_full_ = true;
  }
  return memory;
}

std::optional<TableMemory> TableMemoryPool::take_free(uint64_t table_bytes, uint64_t result_bytes) {
  std::lock_guard lock(mutex_);
  const auto found = std::find_if(free_.begin(), free_.end(), [&](const TableMemory& memory) {
    return memory.host.size() >= table_bytes + result_bytes &&
           (memory.device.empty() || memory.device.size() >= table_bytes);
  });
  if (found == free_.end()) return std::nullopt;
  const TableMemory memory = *found;
  free_.erase(found);
  return memory;
}

void TableMemoryPool::give_back(const TableMemory& memory) {
  std::lock_guard lock(mutex_);
  free_.push_back(memory);
}

Result<LaunchTable> LaunchTable::make(TableMemoryPool& pool, std::vector<CopyPiece> pieces,
                                      Purpose purpose, const std::vector<bool>& is_bounced) {
  TINTYPE_CHECK(is_bounced.empty() || is_bounced.size() == pieces.size());
  LaunchTable table;
  for (const CopyPiece& piece : pieces) {
    table.chunk_count_ += gather::chunk_count(piece.size_bytes);
  }
  if (table.chunk_count_ == 0) return table;
  table.purpose_ = purpose;
  table.pieces_ = std::move(pieces);
  const uint64_t results = result_bytes(purpose, table.pieces_, table.chunk_count_, is_bounced);
  TINTYPE_ASSIGN_OR_RETURN(table.memory_, pool.take(table.table_bytes(), results));
  table.pool_ = &pool;
  table.write_table(is_bounced);
  return table;
}

LaunchTable::LaunchTable(LaunchTable&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)),
      purpose_(other.purpose_),
      memory_(other.memory_),
      pieces_(std::move(other.pieces_)),
      bounces_(std::move(other.bounces_)),
      chunk_count_(std::exchange(other.chunk_count_, 0)) {}

LaunchTable& LaunchTable::operator=(LaunchTable&& other) noexcept {
  if (this == &other) return *this;
  give_back();
  pool_ = std::exchange(other.pool_, nullptr);
  purpose_ = other.purpose_;
  memory_ = other.memory_;
  pieces_ = std::move(other.pieces_);
  bounces_ = std::move(other.bounces_);
  chunk_count_ = std::exchange(other.chunk_count_, 0);
  return *this;
}

LaunchTable::~LaunchTable() { give_back(); }

void LaunchTable::give_back() {
  if (pool_ != nullptr) std::exchange(pool_, nullptr)->give_back(memory_);
}

// The pieces, then where the chunks of each begin.
uint64_t LaunchTable::table_bytes() const {
  const uint64_t count = pieces_.size();
  return align_up(count * sizeof(CopyPiece) + (count + 1) * sizeof(uint64_t),
                  kBounceAlignmentBytes);
}

void LaunchTable::write_table(const std::vector<bool>& is_bounced) {
  auto* pieces = reinterpret_cast<CopyPiece*>(memory_.host.data());
  auto* first_chunks = reinterpret_cast<uint64_t*>(pieces + pieces_.size());
  std::byte* bounce = results();
  uint64_t chunks = 0;
  for (size_t i = 0; i < pieces_.size(); ++i) {
    pieces[i] = pieces_[i];
    first_chunks[i] = chunks;
    chunks += gather::chunk_count(pieces_[i].size_bytes);
    if (is_bounced.empty() || !is_bounced[i]) continue;
    pieces[i].target = bounce;
    bounces_.push_back({bounce, MutableBytes(pieces_[i].target, pieces_[i].size_bytes)});
    bounce += align_up(pieces_[i].size_bytes, kBounceAlignmentBytes);
  }
  first_chunks[pieces_.size()] = chunks;
}

Status LaunchTable::launch(CudaApi& api, uint32_t blocks_max, CudaApi::Stream stream) {
  if (is_empty()) return Status::ok();
  const std::byte* written = memory_.host.data();
  if (!memory_.device.empty()) {
    TINTYPE_RETURN_IF_ERROR(api.copy(memory_.device.data(), written, table_bytes(), stream));
    written = memory_.device.data();
  }
  PieceTable table;
  table.pieces = reinterpret_cast<const CopyPiece*>(written);
  table.first_chunks = reinterpret_cast<const uint64_t*>(table.pieces + pieces_.size());
  table.piece_count = static_cast<uint32_t>(pieces_.size());
  table.chunk_count = chunk_count_;
  if (purpose_ == Purpose::gather) return api.launch_gather(table, blocks_max, stream);
  return api.launch_crc32(table, reinterpret_cast<uint32_t*>(results()), blocks_max, stream);
}

void LaunchTable::deliver() {
  if (is_empty()) return;
  if (purpose_ == Purpose::crc32) deliver_crcs();
  for (const Bounce& bounce : bounces_) {
    std::memcpy(bounce.to.data(), bounce.from, bounce.to.size());
  }
}

// All chunks of a piece but the last are of one size, so that moving a CRC on by one is a product.
void LaunchTable::deliver_crcs() const {
  static constexpr uint32_t kByChunk = crc32_detail::x_to_bytes(gather::kChunkBytes);
  const auto* chunk_crc = reinterpret_cast<const uint32_t*>(results());
  for (const CopyPiece& piece : pieces_) {
    uint32_t crc = 0;
    for (uint64_t i = 0; i < gather::chunk_count(piece.size_bytes); ++i, ++chunk_crc) {
      const uint64_t size_bytes = gather::chunk_of(piece.size_bytes, i).size_bytes;
      crc = size_bytes == gather::kChunkBytes ? crc32_detail::multiply(kByChunk, crc) ^ *chunk_crc
                                              : crc32_combine(crc, *chunk_crc, size_bytes);
    }
    *piece.crc = crc;
  }
}

}  // namespace tintype
