// Tensors and parameters in a pickle, as torch's own reduce functions describe them.
#pragma once

#include <cstdint>
#include <vector>

#include <nanobind/nanobind.h>

#include "bindings/src/capture/pickle_sink.h"
#include "bindings/src/capture/storage_table.h"
#include "bindings/src/capture/torch_handles.h"

namespace tintype::python {

// Writes what torch.Tensor.__reduce_ex__ and Parameter.__reduce_ex__ return for strided and meta
// tensors (torch/_tensor.py, torch/nn/parameter.py), and numbers the storages of one file in the
// order in which they are met. Throws NotNative for any other tensor. Needs the GIL.
class TensorWriter {
 public:
  // All outlive this object.
  TensorWriter(const TorchHandles& torch, StorageTable& table, PickleSink& sink)
      : torch_(torch), table_(table), sink_(sink) {}

  // REQUIRES: an exact torch.Tensor that is not in the memo.
  void write_tensor(PyObject* tensor);
  // REQUIRES: an exact torch.nn.Parameter that is not in the memo.
  void write_parameter(PyObject* parameter);

  // Record data/i of the file is the table's storage [i].
  std::vector<uint32_t> take_storages() { return std::move(storages_); }

 private:
  struct Stored {
    nanobind::object storage;
    uint64_t address = 0;
    uint64_t count = 0;  // of items of the dtype's storage class
    bool is_host = false;
  };

  void check_plain(PyObject* tensor) const;
  void write_strided(PyObject* tensor, const DtypeInfo& dtype, bool requires_grad);
  void write_meta(PyObject* tensor, const DtypeInfo& dtype, bool requires_grad);
  void write_body(PyObject* tensor, bool requires_grad);
  void write_geometry(PyObject* tensor);
  void write_integers(PyObject* tuple);
  void write_hooks();
  void write_metadata(PyObject* tensor, const DtypeInfo& dtype);
  void write_persistent_id(const Stored& stored, const DtypeInfo& dtype);
  Stored storage_of(PyObject* tensor, const DtypeInfo& dtype) const;
  PyObject* key_of(const Stored& stored, const DtypeInfo& dtype);
  void check_dtype(const Stored& stored, const DtypeInfo& dtype);

  const TorchHandles& torch_;
  StorageTable& table_;
  PickleSink& sink_;
  std::vector<uint32_t> storages_;
  std::vector<nanobind::object> keys_;  // parallel to storages_
  IdentityMap number_by_identity_;      // of the storage, into storages_
  IdentityMap dtype_by_address_;        // into checked_dtypes_
  std::vector<PyObject*> checked_dtypes_;
};

}  // namespace tintype::python
