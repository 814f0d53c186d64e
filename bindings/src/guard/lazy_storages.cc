#include "bindings/src/guard/lazy_storages.h"

#include <algorithm>

namespace nb = nanobind;

namespace tintype::python {
namespace {

constexpr uint64_t kLazyBytesMin = 4096;  // copying less costs less than watching it

// True where nothing can take the storage's memory away, or change it from outside of the process.
bool is_fixed_and_private(const TorchHandles& torch, PyObject* storage) {
  if (torch.is_shared_storage.is_true(storage)) return false;
  if (!torch.is_resizable_storage.is_true(storage)) return true;
  nb::module_::import_("tintype._guard").attr("fix_size")(nb::handle(storage));
  return !torch.is_resizable_storage.is_true(storage);
}

class LazyMarker {
 public:
  LazyMarker(const TorchHandles& torch, const StorageTable& table,
             std::shared_ptr<TornTensors> torn)
      : torch_(torch), table_(table), torn_(torn != nullptr && !torn->is_empty() ? torn : nullptr) {
    witness_ = std::make_unique<PythonWitness>(torch, std::move(torn));
  }

  // True if the storage is lazy; it is watched then.
  bool mark(uint32_t index, bool is_on_host, const std::vector<GuardedTensor>& owners) {
    if (owners.empty() || std::ranges::any_of(owners, [this](const auto& owner) {
          return torn_ != nullptr && torn_->contains(owner.tensor);
        })) {
      return false;
    }
    if (is_on_host && !is_fixed_and_private(torch_, table_.storage_object(index))) return false;
    for (const GuardedTensor& owner : owners) witness_->watch(index, owner);
    is_any_lazy_ = true;
    return true;
  }

  std::unique_ptr<PythonWitness> take_witness() {
    return is_any_lazy_ ? std::move(witness_) : nullptr;
  }

 private:
  const TorchHandles& torch_;
  const StorageTable& table_;
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
    storage.is_lazy = marker.mark(i, storage.device == kHostMemory,
                                  guarded.owners_of(address, storage.size_bytes));
  }
  return marker.take_witness();
}

}  // namespace tintype::python
