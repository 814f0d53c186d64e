#include "engine/slot_pool.h"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/page_sizes.h"
#include "base/threads.h"

namespace tintype {
namespace {

constexpr uint64_t kRegionBytesMax = 1ull << 30;  // the kernel's limit for one registered buffer

void touch(MutableBytes bytes) {
#ifdef MADV_POPULATE_WRITE
  if (::madvise(bytes.data(), bytes.size(), MADV_POPULATE_WRITE) == 0) return;
#endif
  for (size_t offset = 0; offset < bytes.size(); offset += kPageBytes) bytes[offset] = std::byte{0};
}

}  // namespace

SlotLease::SlotLease(SlotLease&& other) noexcept
    : pool_(std::exchange(other.pool_, nullptr)), bytes_(other.bytes_) {}

SlotLease& SlotLease::operator=(SlotLease&& other) noexcept {
  if (this != &other) {
    give_back();
    pool_ = std::exchange(other.pool_, nullptr);
    bytes_ = other.bytes_;
  }
  return *this;
}

SlotLease::~SlotLease() { give_back(); }

void SlotLease::give_back() {
  if (pool_ != nullptr) std::exchange(pool_, nullptr)->give_back(bytes_);
}

SlotPool::~SlotPool() {
  TINTYPE_CHECK(free_.size() == slot_count_);
  for (const Region& region : regions_) {
    if (region.pinned_by != nullptr) region.pinned_by->unpin(region.bytes);
    ::munmap(region.bytes.data(), region.bytes.size());
  }
}

uint64_t SlotPool::slot_count() const {
  std::lock_guard lock(mutex_);
  return slot_count_;
}

uint64_t SlotPool::free_bytes() const {
  std::lock_guard lock(mutex_);
  return free_.size() * slot_bytes_;
}

Status SlotPool::grow_to(uint64_t count) {
  std::lock_guard lock(mutex_);
  const uint64_t region_slots_max = std::max<uint64_t>(1, kRegionBytesMax / slot_bytes_);
  while (slot_count_ < count) {
    TINTYPE_RETURN_IF_ERROR(add_region(std::min(count - slot_count_, region_slots_max)));
  }
  slot_is_free_.notify_all();
  return Status::ok();
}

Status SlotPool::add_region(uint64_t slot_count) {
  const uint64_t bytes = align_up(slot_count * slot_bytes_, kPageBytes);
  void* address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (address == MAP_FAILED) return errno_status(errno, "map staging memory", "");
  ::madvise(address, bytes, MADV_DONTFORK);
  if (bytes >= kHugePageBytes) ::madvise(address, bytes, MADV_HUGEPAGE);
  auto* first = static_cast<std::byte*>(address);
  const auto region = static_cast<uint32_t>(regions_.size());
  regions_.push_back({MutableBytes(first, bytes), 0, slot_count});
  std::vector<FreeSlot> added;
  for (uint64_t i = slot_count; i-- > 0;) {
    added.push_back({first + i * slot_bytes_, region, false});
  }
  // Untouched slots go to the front: warm ones are leased first.
  free_.insert(free_.begin(), added.begin(), added.end());
  slot_count_ += slot_count;
  return Status::ok();
}

void SlotPool::touch_all(unsigned thread_count, const std::function<bool()>& is_stopped) {
  std::mutex mutex;
  std::vector<SlotLease> touched;  // guarded by mutex; kept, or they would be leased again
  std::atomic<bool> is_stopping = false;
  const auto touch_one = [&] {
    auto slot = lease(std::chrono::milliseconds(0));
    if (!slot) return false;
    touch(slot->bytes());
    std::lock_guard lock(mutex);
    touched.push_back(std::move(*slot));
    return true;
  };
  ThreadGroup threads;
  threads.fill_up_to(thread_count - 1, "tintype-touch", [&] {
    while (!is_stopping && touch_one()) {
    }
  });
  while (touch_one() && !(is_stopped && is_stopped())) {
  }
  is_stopping = true;
}

Status SlotPool::pin(Device& device, const std::function<bool()>& is_stopped) {
  bool is_any_left = true;
  while (is_any_left && !(is_stopped && is_stopped())) {
    TINTYPE_ASSIGN_OR_RETURN(is_any_left, pin_next(device));
  }
  return Status::ok();
}

// False where all are pinned.
Result<bool> SlotPool::pin_next(Device& device) {
  std::lock_guard pinning(pinning_);
  const auto index = first_unpinned();
  if (!index) return false;
  MutableBytes bytes;
  {
    std::lock_guard lock(mutex_);
    bytes = regions_[*index].bytes;
  }
  TINTYPE_RETURN_IF_ERROR(device.pin(bytes));
  std::lock_guard lock(mutex_);
  regions_[*index].pinned_by = &device;
  return true;
}

std::optional<size_t> SlotPool::first_unpinned() const {
  std::lock_guard lock(mutex_);
  for (size_t i = 0; i < regions_.size(); ++i) {
    if (regions_[i].pinned_by == nullptr) return i;
  }
  return std::nullopt;
}

uint64_t SlotPool::pinned_bytes() const {
  std::lock_guard lock(mutex_);
  uint64_t total = 0;
  for (const Region& region : regions_)
    total += region.pinned_by != nullptr ? region.bytes.size() : 0;
  return total;
}

std::optional<SlotLease> SlotPool::lease(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  if (!slot_is_free_.wait_for(lock, timeout, [&] { return !free_.empty(); })) return std::nullopt;
  const FreeSlot slot = free_.back();
  free_.pop_back();
  if (!slot.is_touched) ++regions_[slot.region].slots_leased_once;
  return SlotLease(this, MutableBytes(slot.address, slot_bytes_));
}

void SlotPool::give_back(MutableBytes slot) {
  std::lock_guard lock(mutex_);
  free_.push_back({slot.data(), region_of(slot.data()), true});
  slot_is_free_.notify_one();
}

uint32_t SlotPool::region_of(const std::byte* address) const {
  for (uint32_t i = 0; i < regions_.size(); ++i) {
    const MutableBytes region = regions_[i].bytes;
    if (address >= region.data() && address < region.data() + region.size()) return i;
  }
  TINTYPE_CHECK(false && "a slot of another pool");
  return 0;
}

std::vector<MutableBytes> SlotPool::touched_regions() const {
  std::lock_guard lock(mutex_);
  std::vector<MutableBytes> touched;
  for (const Region& region : regions_) {
    if (region.slots_leased_once == region.slot_count) touched.push_back(region.bytes);
  }
  return touched;
}

}  // namespace tintype
