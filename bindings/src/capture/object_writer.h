// The native walk: Python objects become a pickle without running Python code.
#pragma once

#include <nanobind/nanobind.h>

#include "bindings/src/capture/pickle_sink.h"
#include "bindings/src/capture/tensor_writer.h"
#include "bindings/src/capture/torch_handles.h"

namespace tintype::python {

// Writes, byte for byte, what CPython's C pickler writes at protocol 2 with torch.save's
// persistent_id (Modules/_pickle.c: save() and the save_* functions it calls), for exact types:
// dict, OrderedDict, Counter, list, tuple, set, frozenset, str, bytes, bytearray, int, float,
// complex, bool, None, torch.Size, dtype, device, Tensor and Parameter. Throws NotNative for
// anything else, and python_error where Python raises. Needs the GIL.
class ObjectWriter {
 public:
  ObjectWriter(const TorchHandles& torch, PickleSink& sink, TensorWriter& tensors)
      : torch_(torch), sink_(sink), tensors_(tensors) {}

  // Pushes the object. The caller owns a reference to it.
  void write(PyObject* object);

 private:
  bool write_atom(PyObject* object);
  bool write_container(PyObject* object);
  bool write_torch(PyObject* object);
  void write_number(PyObject* integer);
  void write_dict(PyObject* dict);
  void write_items(PyObject* iterator);
  void write_item(PyObject* pair);
  void write_list(PyObject* list);
  void write_tuple(PyObject* tuple);
  void write_set(PyObject* set, const GlobalName& cls);
  void write_bytes(PyObject* bytes);
  void write_bytearray(PyObject* bytes);
  void write_complex(PyObject* number);
  // An object that its class's __reduce_ex__ describes as a call of that class.
  void write_reduced(PyObject* object, const GlobalName& cls);

  const TorchHandles& torch_;
  PickleSink& sink_;
  TensorWriter& tensors_;
};

}  // namespace tintype::python
