#include "bindings/src/capture/tensor_writer.h"

#include <utility>

namespace nb = nanobind;

namespace tintype::python {

void TensorWriter::write_tensor(PyObject* tensor) {
  check_plain(tensor);
  write_body(tensor, torch_.requires_grad.is_true(tensor));
  sink_.memoize(tensor);
}

// The parameter's data is written as a tensor of its own; torch makes that tensor for the pickle.
void TensorWriter::write_parameter(PyObject* parameter) {
  check_plain(parameter);
  sink_.global(torch_.rebuild_parameter);
  write_body(parameter, false);
  sink_.memoize_fresh();
  sink_.out().boolean(torch_.requires_grad.is_true(parameter));
  write_hooks();
  sink_.out().short_tuple(3);
  sink_.memoize_fresh();
  sink_.out().reduce();
  sink_.memoize(parameter);
}

// Python attributes, hooks, names and other layouts take other paths through torch.
void TensorWriter::check_plain(PyObject* tensor) const {
  if (!torch_.state(tensor).is_none()) throw NotNative{"a tensor with Python attributes"};
  if (!torch_.layout(tensor).is(torch_.strided)) throw NotNative{"a tensor that is not strided"};
  if (torch_.has_names.is_true(tensor)) throw NotNative{"a tensor with named dimensions"};
  const nb::object hooks = torch_.backward_hooks(tensor);
  if (!hooks.is_none() && PyObject_IsTrue(hooks.ptr()) != 0) throw NotNative{"a tensor with hooks"};
}

void TensorWriter::write_body(PyObject* tensor, bool requires_grad) {
  const DtypeInfo& dtype = torch_.dtype(torch_.dtype_of(tensor).ptr());
  if (!torch_.is_cpu.is_true(tensor) && torch_.is_meta.is_true(tensor)) {
    write_meta(tensor, dtype, requires_grad);
  } else {
    write_strided(tensor, dtype, requires_grad);
  }
  sink_.memoize_fresh();  // the tuple of arguments
  sink_.out().reduce();
}

void TensorWriter::write_strided(PyObject* tensor, const DtypeInfo& dtype, bool requires_grad) {
  if (dtype.storage_class == nullptr) throw NotNative{"a tensor of a quantized or odd dtype"};
  sink_.global(dtype.is_untyped ? torch_.rebuild_tensor_untyped : torch_.rebuild_tensor);
  sink_.out().mark();
  write_persistent_id(storage_of(tensor, dtype), dtype);
  sink_.out().integer(torch_.storage_offset.as_int64(tensor));
  write_geometry(tensor);
  sink_.out().boolean(requires_grad);
  write_hooks();
  if (dtype.is_untyped) sink_.global(dtype.name);
  write_metadata(tensor, dtype);
  sink_.out().tuple();
}

void TensorWriter::write_meta(PyObject* tensor, const DtypeInfo& dtype, bool requires_grad) {
  sink_.global(torch_.rebuild_meta_tensor);
  sink_.out().mark();
  sink_.global(dtype.name);
  write_geometry(tensor);
  sink_.out().boolean(requires_grad);
  sink_.out().tuple();
}

void TensorWriter::write_geometry(PyObject* tensor) {
  write_integers(torch_.shape(tensor).ptr());
  write_integers(torch_.stride(tensor).ptr());
}

void TensorWriter::write_integers(PyObject* tuple) {
  PickleWriter& out = sink_.out();
  const Py_ssize_t count = PyTuple_GET_SIZE(tuple);
  if (count == 0) return out.empty_tuple();  // a singleton, which the pickler never memoizes
  if (count > 3) out.mark();
  for (Py_ssize_t i = 0; i < count; ++i) {
    const int64_t value = PyLong_AsLongLong(PyTuple_GET_ITEM(tuple, i));
    if (value == -1 && PyErr_Occurred() != nullptr) throw nb::python_error();
    out.integer(value);
  }
  count > 3 ? out.tuple() : out.short_tuple(static_cast<int>(count));
  sink_.memoize_fresh();
}

// torch stores no hooks: always an empty OrderedDict.
void TensorWriter::write_hooks() {
  sink_.global(torch_.ordered_dict);
  sink_.out().empty_tuple();
  sink_.out().reduce();
  sink_.memoize_fresh();
}

// The lazy conjugation and negation bits; only complex tensors and views of them have any.
void TensorWriter::write_metadata(PyObject* tensor, const DtypeInfo& dtype) {
  const bool is_conj = dtype.is_complex && torch_.is_conj.is_true(tensor);
  if (!is_conj && !torch_.is_neg.is_true(tensor)) return;
  const nb::dict bits =
      nb::borrow<nb::dict>(nb::borrow(torch_.tensor_metadata)(nb::handle(tensor)));
  PickleWriter& out = sink_.out();
  out.empty_dict();
  sink_.memoize_fresh();
  if (bits.size() > 1) out.mark();
  for (const auto& [key, value] : bits) {
    sink_.text(key.ptr());
    out.boolean(nb::cast<bool>(value));
  }
  bits.size() > 1 ? out.set_items() : out.set_item();
}

void TensorWriter::write_persistent_id(const Stored& stored, const DtypeInfo& dtype) {
  check_dtype(stored, dtype);
  PyObject* key = key_of(stored, dtype);
  sink_.out().mark();
  sink_.text(torch_.storage_text);
  sink_.global(*dtype.storage_class);
  sink_.text(key);
  if (stored.is_host) {
    sink_.text(torch_.cpu_text);
  } else {
    const nb::object tag = nb::borrow(torch_.location_tag)(stored.storage);
    sink_.text(tag.ptr());
  }
  sink_.out().integer(static_cast<int64_t>(stored.count));
  sink_.out().tuple();
  sink_.memoize_fresh();
  sink_.out().persistent_id();
}

TensorWriter::Stored TensorWriter::storage_of(PyObject* tensor, const DtypeInfo& dtype) const {
  Stored stored;
  stored.is_host = torch_.is_cpu.is_true(tensor);
  if (!stored.is_host && !torch_.is_cuda.is_true(tensor))
    throw NotNative{"a tensor of another device"};
  stored.storage = torch_.storage_of(tensor);
  if (Py_TYPE(stored.storage.ptr()) != torch_.untyped_storage_class) {
    throw not_native(stored.storage.ptr());
  }
  stored.address = torch_.storage_address.as_uint64(stored.storage.ptr());
  stored.count = torch_.storage_size_bytes.as_uint64(stored.storage.ptr()) / dtype.item_bytes;
  return stored;
}

// The storage's number in this file, as the very str that torch would use for it each time.
PyObject* TensorWriter::key_of(const Stored& stored, const DtypeInfo& dtype) {
  const uint64_t identity = torch_.storage_identity.as_uint64(stored.storage.ptr());
  const uint32_t known = number_by_identity_.find(identity);
  if (known != IdentityMap::kAbsent) return keys_[known].ptr();
  const uint64_t size_bytes = stored.count * dtype.item_bytes;
  const uint32_t index = stored.is_host
                             ? table_.add_host(stored.storage, identity, stored.address, size_bytes)
                             : table_.add(stored.storage, size_bytes);
  const auto number = static_cast<uint32_t>(storages_.size());
  number_by_identity_.insert(identity, number);
  storages_.push_back(index);
  keys_.push_back(nb::steal(PyObject_Str(nb::int_(number).ptr())));
  return keys_.back().ptr();
}

// torch refuses one memory seen as two dtypes; its own words come from Python's path.
void TensorWriter::check_dtype(const Stored& stored, const DtypeInfo& dtype) {
  if (stored.address == 0) return;
  const uint32_t known = dtype_by_address_.find(stored.address);
  if (known == IdentityMap::kAbsent) {
    dtype_by_address_.insert(stored.address, static_cast<uint32_t>(checked_dtypes_.size()));
    checked_dtypes_.push_back(dtype.checked_as);
  } else if (checked_dtypes_[known] != dtype.checked_as) {
    throw NotNative{"one storage as two dtypes"};
  }
}

}  // namespace tintype::python
