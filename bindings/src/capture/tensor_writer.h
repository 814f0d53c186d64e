// Tensors and parameters in a pickle, as torch's own reduce functions describe them.
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>

#include "bindings/src/capture/pickle_sink.h"
#include "bindings/src/capture/storage_table.h"
#include "bindings/src/capture/tensor_facts.h"
#include "bindings/src/capture/torch_handles.h"

namespace tintype::python {

// Writes what torch.Tensor.__reduce_ex__ and Parameter.__reduce_ex__ return for strided and meta
// tensors (torch/_tensor.py, torch/nn/parameter.py), and numbers the storages of one file in the
// order in which they are met. Throws NotNative for any other tensor. Needs the GIL.
class TensorWriter {
 public:
  // All outlive this object.
  TensorWriter(const TorchHandles& torch, StorageTable& table, PickleSink& sink)
      : torch_(torch), table_(table), sink_(sink), facts_(torch) {}

  // REQUIRES: an exact torch.Tensor that is not in the memo.
  void write_tensor(PyObject* tensor);
  // REQUIRES: an exact torch.nn.Parameter that is not in the memo.
  void write_parameter(PyObject* parameter);

  // Record data/i of the file is the table's storage [i].
  std::vector<uint32_t> take_storages() { return std::move(storages_); }

 private:
  // A storage of this file: the str of its number, and what it was first seen as.
  struct Key {
    uint32_t number = IdentityMap::kAbsent;  // in this file
    uint32_t memo = IdentityMap::kAbsent;
    PyObject* checked_as = nullptr;
  };

  void check_plain(PyObject* tensor) const;
  void write_strided(PyObject* tensor, const TensorFacts& facts, bool requires_grad);
  void write_meta(const TensorFacts& facts, bool requires_grad);
  void write_body(PyObject* tensor, bool requires_grad);
  void write_integers(std::span<const int64_t> integers);
  void write_hooks();
  void write_metadata(PyObject* tensor, const DtypeInfo& dtype);
  void write_persistent_id(const TensorFacts& facts);
  void write_key(Key& key);
  Key& key_of(const TensorFacts& facts);
  void add_key(Key& key, uint32_t number, const TensorFacts& facts);
  void check_dtype(uint64_t address, PyObject* checked_as);

  const TorchHandles& torch_;
  StorageTable& table_;
  PickleSink& sink_;
  TensorFactReader facts_;
  PickleSink::ConstantText storage_text_{torch_.storage_text}, cpu_text_{torch_.cpu_text};
  std::vector<uint32_t> storages_;
  std::vector<Key> keys_;         // by the table's number of the storage
  IdentityMap dtype_by_address_;  // into checked_dtypes_
  std::vector<PyObject*> checked_dtypes_;
};

}  // namespace tintype::python
