// Everything that a pickle says of a tensor, read in as few calls into torch as there are.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include <nanobind/nanobind.h>

#include "bindings/src/capture/dlpack.h"
#include "bindings/src/capture/torch_handles.h"

namespace tintype::python {

struct TensorFacts {
  enum class Place : uint8_t { host, device, meta };
  Place place = Place::host;
  const DtypeInfo* dtype = nullptr;
  std::span<const int64_t> shape;   // of the tensor or of the reader: until either changes
  std::span<const int64_t> stride;  // in elements
  // Not for meta tensors:
  int64_t storage_offset = 0;  // in elements
  nanobind::object storage;    // an UntypedStorage
  uint64_t storage_address = 0;
  uint64_t storage_size_bytes = 0;
  int32_t device_index = 0;  // of a device
};

// Reads strided and meta tensors; throws NotNative for any other, and python_error when Python
// raises. Needs the GIL.
class TensorFactReader {
 public:
  // `torch` outlives this object.
  explicit TensorFactReader(const TorchHandles& torch)
      : torch_(torch), view_tensor_(torch.view_tensor) {}

  // REQUIRES: an exact torch.Tensor or torch.nn.Parameter.
  TensorFacts read(PyObject* tensor);

 private:
  bool read_view(PyObject* tensor, TensorFacts& facts);
  void read_attributes(PyObject* tensor, TensorFacts& facts);
  void read_storage(PyObject* tensor, TensorFacts& facts) const;
  const DtypeInfo& dtype_of(PyObject* tensor, dlpack::DataType type);

  const TorchHandles& torch_;
  dlpack::ViewTensor view_tensor_;  // null once it refused a tensor: refusals are slow
  std::array<const DtypeInfo*, 64> dtypes_ = {};  // met so far, by DLPack type
  std::vector<int64_t> shape_, stride_;           // of the last tensor read by attributes
};

}  // namespace tintype::python
