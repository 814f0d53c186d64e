// What the native capture knows of Python and torch: classes, functions, dtypes and the fast ways
// to a tensor's attributes, looked up once per process. The extension links no torch: all of this
// is reached by name.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <unordered_map>

#include <nanobind/nanobind.h>

#include "bindings/src/capture/dlpack.h"

namespace tintype::python {

// A Python object that pickles as a name.
struct GlobalName {
  PyObject* object = nullptr;  // borrowed for good
  std::string qualified;       // "module\nname\n" as a pickle of protocol 2 has it
  uint32_t number = 0;         // this name's own, small
};

// An attribute or a method without arguments of one class, called through its descriptor: no
// look-up and, for getters, no bound method. REQUIRES of every call: the object is of that class or
// of a subclass that does not override the attribute.
class Attribute {
 public:
  Attribute() = default;
  Attribute(nanobind::handle cls, const char* name);

  // Throws python_error when Python raises.
  nanobind::object operator()(PyObject* self) const;
  // Whether the attribute is the object True.
  bool is_true(PyObject* self) const { return (*this)(self).is(Py_True); }
  int64_t as_int64(PyObject* self) const;
  uint64_t as_uint64(PyObject* self) const;

 private:
  enum class Kind { named, getter, no_arguments, keywords };
  Kind kind_ = Kind::named;
  PyObject* name_ = nullptr;
  getter getter_ = nullptr;
  void* closure_ = nullptr;
  PyCFunction function_ = nullptr;
  bool is_method_ = false;
};

// How tensors of one dtype are stored.
struct DtypeInfo {
  GlobalName name;
  const GlobalName* storage_class = nullptr;  // null: not for the native capture
  PyObject* checked_as = nullptr;  // the dtype torch compares when two views share a storage
  uint64_t item_bytes = 1;         // of storage_class
  uint32_t number_bytes = 1;       // of an element, or half a complex one
  bool is_untyped = false;         // stored as UntypedStorage, dtype named by the tensor
  bool is_complex = false;
  bool is_floating = false;  // or complex
};

// One per process, made at the first use, never destroyed. Needs the GIL.
class TorchHandles {
 public:
  // Null when torch is not as expected; then everything goes to Python's pickler.
  static const TorchHandles* get();

  // False when the user registered or patched reducers or location tags that change what is
  // written.
  bool is_stock() const;
  // Makes the entry at the first sight of a dtype.
  const DtypeInfo& dtype(PyObject* dtype) const;

  PyTypeObject* tensor_class;
  PyTypeObject* parameter_class;
  PyTypeObject* untyped_storage_class;
  PyTypeObject* ordered_dict_class;
  PyTypeObject* counter_class;
  PyTypeObject* size_class;
  PyTypeObject* device_class;
  PyTypeObject* dtype_class;

  GlobalName rebuild_tensor, rebuild_tensor_untyped, rebuild_meta_tensor, rebuild_parameter;
  GlobalName ordered_dict, counter, complex_number, byte_string, byte_array, set, frozen_set;
  GlobalName encode, size, device, untyped_storage;

  Attribute state;                     // None for a tensor without Python attributes
  std::optional<Attribute> has_names;  // none where torch has no named tensors (2.15)
  Attribute layout, dtype_of, is_cpu, is_cuda, is_meta, requires_grad, backward_hooks;
  Attribute shape, stride, storage_offset, storage_of, is_conj, is_neg;
  Attribute version, data_address, data_size_bytes, is_contiguous;
  Attribute storage_address, storage_size_bytes, is_resizable_storage, is_shared_storage;
  dlpack::ViewTensor view_tensor;  // null before torch 2.10: then attributes serve

  PyObject* strided;
  PyObject* tensor_metadata;  // function: {"conj": True, "neg": True} as far as set
  PyObject* location_tag;     // function: "cuda:0" for a storage
  // The very strings that the pickler or torch writes: user strings may be the same objects.
  PyObject* storage_text;
  PyObject* cpu_text;
  PyObject* latin1_text;
  PyObject* step_text;  // the key of an optimizer's count of steps

 private:
  static const TorchHandles* try_make();
  TorchHandles();
  void find_globals();
  void find_attributes();
  const GlobalName* storage_class(PyObject* dtype) const;

  PyObject* dispatch_table_;
  PyObject* reduce_complex_;
  PyObject* reduce_tensor_;     // Tensor.__reduce_ex__; null: already patched
  PyObject* reduce_parameter_;  // likewise
  PyObject* package_registry_;
  PyObject* cpu_tagger_;
  mutable std::unordered_map<PyObject*, DtypeInfo> dtypes_;
  mutable std::unordered_map<PyObject*, GlobalName> storage_classes_;
};

}  // namespace tintype::python
