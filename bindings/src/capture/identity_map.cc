#include "bindings/src/capture/identity_map.h"

namespace tintype::python {
namespace {

constexpr size_t kFirstSlots = 1024;        // a power of two, as each later size
constexpr size_t kSpareSlotsMax = 1 << 17;  // 2 MiB: keys of some 60,000 objects
constexpr size_t kSparesMax = 4;            // a guarded save uses four maps

}  // namespace

std::vector<IdentityMap::Table>& IdentityMap::spares() {
  static auto* const kSpares = new std::vector<Table>();
  return *kSpares;
}

// The spare returned last: maps end in the reverse order of their making, so it has the right size.
IdentityMap::IdentityMap() {
  if (!spares().empty()) {
    table_ = std::move(spares().back());
    spares().pop_back();
  } else {
    table_.slots.resize(kFirstSlots);
  }
  if (++table_.era == 0) {  // wrapped: slots of old eras would look filled
    table_.slots.assign(table_.slots.size(), Slot{});
    table_.era = 1;
  }
}

IdentityMap::~IdentityMap() {
  const bool is_worth_keeping = table_.slots.size() <= kSpareSlotsMax;
  if (is_worth_keeping && spares().size() < kSparesMax) spares().push_back(std::move(table_));
}

void IdentityMap::grow() {
  Table old{std::vector<Slot>(2 * table_.slots.size()), 1};
  std::swap(old, table_);
  for (const Slot& slot : old.slots) {
    if (slot.era == old.era) table_.slots[place(slot.key)] = {slot.key, slot.value, table_.era};
  }
}

}  // namespace tintype::python
