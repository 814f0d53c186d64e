#include "bindings/src/capture/tensor_facts.h"

#include <bit>

#include "bindings/src/capture/pickle_sink.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

void copy_integers(const nb::object& tuple, std::vector<int64_t>& target) {
  const auto count = static_cast<size_t>(PyTuple_GET_SIZE(tuple.ptr()));
  target.resize(count);
  for (size_t i = 0; i < count; ++i) {
    target[i] = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple.ptr(), static_cast<Py_ssize_t>(i)));
    if (target[i] == -1 && PyErr_Occurred() != nullptr) throw nb::python_error();
  }
}

std::span<const int64_t> integers(const int64_t* first, int32_t count) {
  return {first, static_cast<size_t>(count)};
}

// torch's types of 1 to 7 bits all claim 8, and new types come: those are asked for by name.
bool is_one_torch_dtype(dlpack::DataType type) {
  switch (type.code) {
    case dlpack::floating:
    case dlpack::bfloat:
    case dlpack::complex:
    case dlpack::boolean: return type.lanes == 1 && std::has_single_bit(type.bits);
    case dlpack::signed_integer:
    case dlpack::unsigned_integer:
      return type.lanes == 1 && type.bits > 8 && std::has_single_bit(type.bits);
    default: return false;
  }
}

}  // namespace

TensorFacts TensorFactReader::read(PyObject* tensor) {
  TensorFacts facts;
  if (!read_view(tensor, facts)) read_attributes(tensor, facts);
  return facts;
}

// What has a data pointer is strided: torch refuses every other layout, and meta tensors.
bool TensorFactReader::read_view(PyObject* tensor, TensorFacts& facts) {
  if (view_tensor_ == nullptr) return false;
  dlpack::Tensor view;
  if (view_tensor_(tensor, &view) != 0) {
    PyErr_Clear();
    view_tensor_ = nullptr;
    return false;
  }
  if (view.device_type == dlpack::kDeviceCuda) {
    facts.place = TensorFacts::Place::device;
    facts.device_index = view.device_id;
  } else if (view.device_type != dlpack::kDeviceCpu) {
    return false;
  }
  facts.dtype = &dtype_of(tensor, view.dtype);
  facts.shape = integers(view.shape, view.dimension_count);
  facts.stride = integers(view.strides, view.dimension_count);
  read_storage(tensor, facts);
  if (view.data == nullptr) {  // no elements, though the storage may have some
    facts.storage_address = torch_.storage_address.as_uint64(facts.storage.ptr());
  } else {
    const uint64_t item_bytes = uint64_t{view.dtype.bits} * view.dtype.lanes / 8;
    facts.storage_address = reinterpret_cast<uint64_t>(view.data) -
                            static_cast<uint64_t>(facts.storage_offset) * item_bytes;
  }
  return true;
}

void TensorFactReader::read_attributes(PyObject* tensor, TensorFacts& facts) {
  if (!torch_.layout(tensor).is(torch_.strided)) throw NotNative{"a tensor that is not strided"};
  facts.dtype = &torch_.dtype(torch_.dtype_of(tensor).ptr());
  copy_integers(torch_.shape(tensor), shape_);
  copy_integers(torch_.stride(tensor), stride_);
  facts.shape = shape_;
  facts.stride = stride_;
  if (torch_.is_meta.is_true(tensor)) {
    facts.place = TensorFacts::Place::meta;
    return;
  }
  if (!torch_.is_cpu.is_true(tensor)) {
    if (!torch_.is_cuda.is_true(tensor)) throw NotNative{"a tensor of another device"};
    facts.place = TensorFacts::Place::device;
    facts.device_index = nb::cast<int32_t>(nb::handle(tensor).attr("get_device")());
  }
  read_storage(tensor, facts);
  facts.storage_address = torch_.storage_address.as_uint64(facts.storage.ptr());
}

void TensorFactReader::read_storage(PyObject* tensor, TensorFacts& facts) const {
  facts.storage_offset = torch_.storage_offset.as_int64(tensor);
  facts.storage = torch_.storage_of(tensor);
  PyObject* storage = facts.storage.ptr();
  if (Py_TYPE(storage) != torch_.untyped_storage_class) throw not_native(storage);
  facts.storage_size_bytes = torch_.storage_size_bytes.as_uint64(storage);
}

const DtypeInfo& TensorFactReader::dtype_of(PyObject* tensor, dlpack::DataType type) {
  if (!is_one_torch_dtype(type)) return torch_.dtype(torch_.dtype_of(tensor).ptr());
  const DtypeInfo*& known =
      dtypes_[type.code * 8u + static_cast<unsigned>(std::countr_zero(type.bits))];
  if (known == nullptr) known = &torch_.dtype(torch_.dtype_of(tensor).ptr());
  return *known;
}

}  // namespace tintype::python
