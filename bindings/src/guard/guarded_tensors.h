// The tensors of guarded optimizers, and which memory they own.
#pragma once

#include <cstdint>
#include <vector>

#include <nanobind/nanobind.h>

#include "bindings/src/capture/identity_map.h"
#include "bindings/src/capture/torch_handles.h"

namespace tintype::python {

struct GuardedTensor {
  PyObject* tensor = nullptr;  // borrowed from its optimizer
  uint64_t address = 0;
  uint64_t size_bytes = 0;
  uint64_t version = 0;  // torch's count of changes in place
};

// Where a tensor lies, and its version. Exact tensors and parameters in host memory whose elements
// fill one range without holes; size_bytes is 0 for any other, for tensors of no elements, and for
// those of inference mode, whose versions are not counted.
GuardedTensor look_at(const TorchHandles& torch, PyObject* tensor);

// As they lie in memory now: made anew for each save, as optimizers replace their state and jobs
// the memory of their parameters. Needs the GIL, and that nothing changes the optimizers meanwhile.
class GuardedTensors {
 public:
  explicit GuardedTensors(const TorchHandles& torch) : torch_(torch) {}

  const TorchHandles& torch() const { return torch_; }

  // The parameters, and every tensor in the state, however deep in dicts, lists and tuples.
  void add_optimizer(nanobind::handle param_groups, nanobind::handle state);

  // The tensors that together own all of this memory, the first bytes of a storage; none where a
  // byte of it belongs to no guarded tensor. Valid until the next call.
  const std::vector<GuardedTensor>& owners_of(uint64_t address, uint64_t size_bytes);

 private:
  void add_nested(PyObject* object, int depth);
  void add(PyObject* tensor);
  void add_owners_in_parts(uint64_t address, uint64_t size_bytes);

  const TorchHandles& torch_;
  std::vector<GuardedTensor> tensors_;
  std::vector<uint32_t> next_at_address_;  // of tensors_, those at one address; kAbsent ends
  IdentityMap first_at_address_;           // into tensors_
  std::vector<uint32_t> by_address_;       // tensors_ in the order of addresses; made when needed
  std::vector<GuardedTensor> owners_;
};

}  // namespace tintype::python
