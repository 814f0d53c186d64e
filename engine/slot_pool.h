// The staging memory: page-aligned regions cut into slots of one extent each.
//
// Regions are only ever added, so the address of a leased slot is stable. Memory is touched when a
// slot is first leased (a page fault costs more than the copy), and the slot returned last is
// leased first, so that small saves stay on warm memory. Children of a fork do not inherit the
// regions.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/device/device.h"

namespace tintype {

class SlotPool;

// The move-only right to one slot. The destructor returns it.
class SlotLease {
 public:
  SlotLease() = default;
  SlotLease(SlotLease&& other) noexcept;
  SlotLease& operator=(SlotLease&& other) noexcept;
  ~SlotLease();

  MutableBytes bytes() const { return bytes_; }
  explicit operator bool() const { return pool_ != nullptr; }

 private:
  friend class SlotPool;
  SlotLease(SlotPool* pool, MutableBytes bytes) : pool_(pool), bytes_(bytes) {}
  void give_back();

  SlotPool* pool_ = nullptr;
  MutableBytes bytes_;
};

// Thread-safe. Outlives its leases.
class SlotPool {
 public:
  explicit SlotPool(uint64_t slot_bytes) : slot_bytes_(slot_bytes) {}
  ~SlotPool();  // REQUIRES: every lease was returned

  uint64_t slot_bytes() const { return slot_bytes_; }
  uint64_t slot_count() const;
  uint64_t total_bytes() const { return slot_count() * slot_bytes_; }
  uint64_t free_bytes() const;
  // Adds regions until at least `count` slots exist. resource_exhausted when memory is refused.
  Status grow_to(uint64_t count);
  // Touches every page of the slots that are free, on several threads. `is_stopped` (here and
  // below; empty: never) is asked by the caller after each slot: true ends it early.
  void touch_all(unsigned thread_count, const std::function<bool()>& is_stopped = {});
  // Pins what the device has not pinned yet. Copies from it, and from others of its kind, then hold
  // nobody. The device outlives the pool. May be refused for some regions: they stay as they are,
  // as do those before which `is_stopped` said so.
  Status pin(Device& device, const std::function<bool()>& is_stopped = {});
  uint64_t pinned_bytes() const;
  // A slot, or nullopt when none came free in time.
  std::optional<SlotLease> lease(std::chrono::milliseconds timeout);
  // The regions all of whose pages have been touched: what is worth registering with the kernel.
  std::vector<MutableBytes> touched_regions() const;

  SlotPool(const SlotPool&) = delete;
  SlotPool& operator=(const SlotPool&) = delete;

 private:
  friend class SlotLease;
  struct Region {
    MutableBytes bytes;
    uint64_t slots_leased_once = 0;
    uint64_t slot_count = 0;
    Device* pinned_by = nullptr;
  };
  struct FreeSlot {
    std::byte* address;
    uint32_t region;
    bool is_touched;
  };

  Status add_region(uint64_t slot_count);
  Result<bool> pin_next(Device& device);
  std::optional<size_t> first_unpinned() const;
  void give_back(MutableBytes slot);
  uint32_t region_of(const std::byte* address) const;

  const uint64_t slot_bytes_;
  std::mutex pinning_;  // one thread pins, without keeping others from slots meanwhile
  mutable std::mutex mutex_;
  std::condition_variable slot_is_free_;
  std::vector<Region> regions_;  // guarded by mutex_
  std::vector<FreeSlot> free_;   // guarded by mutex_; leased from the back
  uint64_t slot_count_ = 0;      // guarded by mutex_
};

}  // namespace tintype
