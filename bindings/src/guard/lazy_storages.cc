#include "bindings/src/guard/lazy_storages.h"

#include <algorithm>

#include "bindings/src/guard/private_memory.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

constexpr uint64_t kLazyBytesMin = 4096;  // copying less costs less than watching it

// Sees to it that nothing can take a storage's memory away, or change it from outside of the
// process.
class StorageFixer {
 public:
  explicit StorageFixer(const TorchHandles& torch)
      : torch_(torch), mark_(nb::steal(PyUnicode_InternFromString("_tintype_is_private"))) {}

  // False where that cannot be had.
  bool fix(const SourceStorage& place, nb::handle storage) {
    if (torch_.is_shared_storage.is_true(storage.ptr())) return false;
    if (PyObject_HasAttr(storage.ptr(), mark_.ptr()) != 0) return true;
    if (torch_.is_resizable_storage.is_true(storage.ptr())) {  // of torch's own allocator
      nb::module_::import_("tintype._guard").attr("fix_size")(storage);
      return !torch_.is_resizable_storage.is_true(storage.ptr()) && mark(storage);
    }
    // What torch.load, numpy or a mapped file gave.
    const auto address = reinterpret_cast<uint64_t>(place.address);
    return memory_.contains(address, place.size_bytes) && mark(storage);
  }

 private:
  bool mark(nb::handle storage) const {
    nb::setattr(storage, mark_, nb::bool_(true));
    return true;
  }

  const TorchHandles& torch_;
  const nb::object mark_;  // the name of an attribute: a storage that was found so once has it
  PrivateMemory memory_;
};

class LazyMarker {
 public:
  LazyMarker(const TorchHandles& torch, const StorageTable& table,
             std::shared_ptr<TornTensors> torn)
      : table_(table), fixer_(torch), torn_(torn != nullptr && !torn->is_empty() ? torn : nullptr) {
    witness_ = std::make_unique<PythonWitness>(torch, std::move(torn));
  }

  // True if the storage is lazy; it is watched then.
  bool mark(uint32_t index, const SourceStorage& place, const std::vector<GuardedTensor>& owners) {
    if (owners.empty() || std::ranges::any_of(owners, [this](const auto& owner) {
          return torn_ != nullptr && torn_->contains(owner.tensor);
        })) {
      return false;
    }
    if (place.device == kHostMemory && !fixer_.fix(place, table_.storage_object(index))) {
      return false;
    }
    for (const GuardedTensor& owner : owners) witness_->watch(index, owner);
    is_any_lazy_ = true;
    return true;
  }

  std::unique_ptr<PythonWitness> take_witness() {
    return is_any_lazy_ ? std::move(witness_) : nullptr;
  }

 private:
  const StorageTable& table_;
  StorageFixer fixer_;
  const std::shared_ptr<TornTensors> torn_;
  std::unique_ptr<PythonWitness> witness_;
  bool is_any_lazy_ = false;
};

}  // namespace

std::unique_ptr<PythonWitness> mark_lazy_storages(std::vector<SourceStorage>& storages,
                                                  const StorageTable& table,
                                                  GuardedTensors& guarded,
                                                  const std::shared_ptr<TornTensors>& torn) {
  LazyMarker marker(guarded.torch(), table, torn);
  for (uint32_t i = 0; i < storages.size(); ++i) {
    SourceStorage& storage = storages[i];
    if (storage.size_bytes < kLazyBytesMin) continue;
    const auto address = reinterpret_cast<uint64_t>(storage.address);
    storage.is_lazy = marker.mark(i, storage, guarded.owners_of(address, storage.size_bytes));
  }
  return marker.take_witness();
}

}  // namespace tintype::python
