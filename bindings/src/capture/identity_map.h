// A hash map from addresses to small numbers: which object, storage or memory was seen before.
#pragma once

#include <cstdint>
#include <vector>

namespace tintype::python {

// Open addressing, at most half full, never erases. Keys are addresses of heap objects, hence their
// low bits say nothing; 0 is no key. Not thread-safe.
class IdentityMap {
 public:
  static constexpr uint32_t kAbsent = UINT32_MAX;

  IdentityMap() : slots_(kFirstSlots) {}

  // The value put for `key`, or kAbsent.
  uint32_t find(uint64_t key) const { return slots_[place(key)].value; }

  // REQUIRES: key != 0, not yet present, value != kAbsent.
  void insert(uint64_t key, uint32_t value) {
    if (2 * (count_ + 1) > slots_.size()) grow();
    slots_[place(key)] = {key, value};
    ++count_;
  }

 private:
  struct Slot {
    uint64_t key = 0;
    uint32_t value = kAbsent;
  };
  static constexpr size_t kFirstSlots = 1024;  // a power of two, as each later size

  // The slot that holds `key`, or the empty one where it belongs.
  size_t place(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t at = static_cast<size_t>((key >> 4) * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (slots_[at].key != key && slots_[at].key != 0) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    std::vector<Slot> old(4 * slots_.size());
    old.swap(slots_);
    for (const Slot& slot : old) {
      if (slot.key != 0) slots_[place(slot.key)] = slot;
    }
  }

  std::vector<Slot> slots_;
  size_t count_ = 0;
};

}  // namespace tintype::python
