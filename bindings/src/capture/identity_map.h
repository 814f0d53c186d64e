// A hash map from addresses to small numbers: which object, storage or memory was seen before.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace tintype::python {

// Open addressing, at most half full, never erases. Keys are addresses of heap objects, hence their
// low bits say nothing; 0 is no key. Not thread-safe: needs the GIL.
//
// A map's memory is kept for the next map, up to a limit: the maps of a save are as large as those
// of the save before it, and touching fresh memory costs more than filling it.
class IdentityMap {
 public:
  static constexpr uint32_t kAbsent = UINT32_MAX;

  IdentityMap();
  ~IdentityMap();

  // The value put for `key`, or kAbsent.
  uint32_t find(uint64_t key) const {
    const Slot& slot = table_.slots[place(key)];
    return slot.era == table_.era ? slot.value : kAbsent;
  }

  // REQUIRES: key != 0, not yet present, value != kAbsent.
  void insert(uint64_t key, uint32_t value) { find_or_insert(key, value); }

  // The value put for `key` before, or `value`, which is put for it now. REQUIRES: as of insert().
  uint32_t find_or_insert(uint64_t key, uint32_t value) {
    if (2 * (count_ + 1) > table_.slots.size()) grow();
    Slot& slot = table_.slots[place(key)];
    if (slot.era == table_.era) return slot.value;
    slot = {key, value, table_.era};
    ++count_;
    return value;
  }

  IdentityMap(const IdentityMap&) = delete;
  IdentityMap& operator=(const IdentityMap&) = delete;

 private:
  struct Slot {
    uint64_t key = 0;
    uint32_t value = kAbsent;
    uint32_t era = 0;  // filled if equal to the table's: a new era empties the table at once
  };
  struct Table {
    std::vector<Slot> slots;  // a power of two
    uint32_t era = 0;
  };

  // The slot that holds `key`, or the empty one where it belongs.
  size_t place(uint64_t key) const {
    const size_t mask = table_.slots.size() - 1;
    size_t at = static_cast<size_t>((key >> 4) * 0x9E3779B97F4A7C15u >> 20) & mask;
    while (table_.slots[at].era == table_.era && table_.slots[at].key != key) at = (at + 1) & mask;
    return at;
  }

  void grow();

  Table table_;
  size_t count_ = 0;

  static std::vector<Table>& spares();
};

}  // namespace tintype::python
