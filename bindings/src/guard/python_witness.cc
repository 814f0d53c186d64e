#include "bindings/src/guard/python_witness.h"

#include <algorithm>

#include <nanobind/nanobind.h>

#include "bindings/src/without_gil.h"

namespace nb = nanobind;

namespace tintype::python {

void PythonWitness::watch(uint32_t storage, const GuardedTensor& tensor) {
  watched_.push_back({tensor, storage});
  held_.add(tensor.tensor);
}

std::vector<uint32_t> PythonWitness::changed() {
  std::vector<uint32_t> storages;
  const ActiveCall call;
  saver_.look_between_operations([&] {
    for (const Watched& watched : watched_) {
      if (has_changed(watched)) storages.push_back(watched.storage);
    }
  });
  return storages;
}

// What cannot be told any more counts as changed. So does a tensor that was given other memory: the
// old memory is still there, but its changes are no longer counted.
bool PythonWitness::has_changed(const Watched& watched) const {
  try {
    const GuardedTensor now = look_at(torch_, watched.at_call.tensor);
    return now.version != watched.at_call.version || now.address != watched.at_call.address ||
           now.size_bytes != watched.at_call.size_bytes;
  } catch (const nb::python_error&) {
    return true;
  }
}

void PythonWitness::see_torn(std::span<const uint32_t> storages) {
  if (torn_ == nullptr) return;
  for (const Watched& watched : watched_) {
    if (std::ranges::find(storages, watched.storage) == storages.end()) continue;
    torn_->add(watched.at_call.tensor);
  }
}

}  // namespace tintype::python
