// What Python can tell of changes to the lazy storages of one save.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_set>
#include <vector>

#include "bindings/src/capture/torch_handles.h"
#include "bindings/src/guard/guarded_tensors.h"
#include "bindings/src/guard/retired_references.h"
#include "bindings/src/guard/safe_point.h"
#include "engine/mutation_witness.h"

namespace tintype::python {

// The tensors that a save of this engine found torn: eager from then on, with
// on_torn="eager_next". Known by the addresses of their objects, which they keep; a later tensor at
// the same address is eager for no reason. Thread-safe, needs no GIL.
class TornTensors {
 public:
  void add(const PyObject* tensor) {
    std::lock_guard lock(mutex_);
    tensors_.insert(tensor);
  }
  bool contains(const PyObject* tensor) const {
    std::lock_guard lock(mutex_);
    return tensors_.contains(tensor);
  }
  bool is_empty() const {
    std::lock_guard lock(mutex_);
    return tensors_.empty();
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_set<const PyObject*> tensors_;  // guarded by mutex_
};

// Watches the guarded tensors over the lazy storages: torch's count of in-place changes, and where
// they lie. Writes that torch does not count (fused optimizers, `.data`, `.numpy()`) are left to
// the engine's probes.
class PythonWitness final : public MutationWitness {
 public:
  // On the thread that saves. `torn` may be null: nothing is to be remembered.
  PythonWitness(const TorchHandles& torch, std::shared_ptr<TornTensors> torn)
      : torch_(torch), torn_(std::move(torn)) {}

  // The tensor as it is at the instant of the snapshot. Needs the GIL.
  void watch(uint32_t storage, const GuardedTensor& tensor);

  std::vector<uint32_t> changed() override;
  void see_torn(std::span<const uint32_t> storages) override;

 private:
  struct Watched {
    GuardedTensor at_call;  // held
    uint32_t storage = 0;
  };

  bool has_changed(const Watched& watched) const;

  const TorchHandles& torch_;
  const ObservedThread saver_ = ObservedThread::current();
  std::vector<Watched> watched_;
  HeldReferences held_;
  const std::shared_ptr<TornTensors> torn_;
};

}  // namespace tintype::python
