#include "bindings/src/capture/object_writer.h"

#include <optional>

namespace nb = nanobind;

namespace tintype::python {
namespace {

// Deep nesting is refused before the stack is gone, as Python's own pickler does, though not at the
// same depth: torch.save has a Python frame for each level, and refuses earlier.
class RecursionGuard {
 public:
  RecursionGuard() {
    if (Py_EnterRecursiveCall(" while capturing an object") != 0) throw nb::python_error();
  }
  ~RecursionGuard() { Py_LeaveRecursiveCall(); }
  RecursionGuard(const RecursionGuard&) = delete;
  RecursionGuard& operator=(const RecursionGuard&) = delete;
};

nb::object checked(PyObject* owned) {
  if (owned == nullptr) throw nb::python_error();
  return nb::steal(owned);
}

// The iterator's next item; none at its end.
std::optional<nb::object> next_of(PyObject* iterator) {
  PyObject* item = PyIter_Next(iterator);
  if (item != nullptr) return nb::steal(item);
  if (PyErr_Occurred() != nullptr) throw nb::python_error();
  return std::nullopt;
}

}  // namespace

void ObjectWriter::write(PyObject* object) {
  if (write_atom(object) || sink_.get_if_known(object)) return;
  if (PyUnicode_CheckExact(object)) return sink_.text(object);
  const RecursionGuard guard;
  if (!write_torch(object) && !write_container(object)) throw not_native(object);
}

// Never memoized.
bool ObjectWriter::write_atom(PyObject* object) {
  PickleWriter& out = sink_.out();
  if (object == Py_None) {
    out.none();
  } else if (object == Py_True || object == Py_False) {
    out.boolean(object == Py_True);
  } else if (PyLong_CheckExact(object)) {
    write_number(object);
  } else if (PyFloat_CheckExact(object)) {
    out.real(PyFloat_AS_DOUBLE(object));
  } else {
    return false;
  }
  return true;
}

bool ObjectWriter::write_container(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  if (type == &PyDict_Type) {
    write_dict(object);
  } else if (type == &PyList_Type) {
    write_list(object);
  } else if (type == &PyTuple_Type) {
    write_tuple(object);
  } else if (type == torch_.ordered_dict_class) {
    write_reduced(object, torch_.ordered_dict);
  } else if (type == torch_.counter_class) {
    write_reduced(object, torch_.counter);
  } else if (type == &PySet_Type) {
    write_set(object, torch_.set);
  } else if (type == &PyFrozenSet_Type) {
    write_set(object, torch_.frozen_set);
  } else if (type == &PyBytes_Type) {
    write_bytes(object);
  } else if (type == &PyByteArray_Type) {
    write_bytearray(object);
  } else if (type == &PyComplex_Type) {
    write_complex(object);
  } else {
    return false;
  }
  return true;
}

bool ObjectWriter::write_torch(PyObject* object) {
  PyTypeObject* type = Py_TYPE(object);
  if (type == torch_.tensor_class) {
    tensors_.write_tensor(object);
  } else if (type == torch_.parameter_class) {
    tensors_.write_parameter(object);
  } else if (type == torch_.dtype_class) {
    sink_.global(torch_.dtype(object).name);
  } else if (type == torch_.size_class) {
    write_reduced(object, torch_.size);
  } else if (type == torch_.device_class) {
    write_reduced(object, torch_.device);
  } else {
    return false;
  }
  return true;
}

void ObjectWriter::write_number(PyObject* integer) {
  int overflow = 0;
  const int64_t value = PyLong_AsLongLongAndOverflow(integer, &overflow);
  if (overflow == 0) return sink_.out().integer(value);
  const nb::object number = nb::borrow(integer);
  const auto bits = nb::cast<size_t>(number.attr("bit_length")());
  const nb::object bytes =
      number.attr("to_bytes")(bits / 8 + 1, "little", nb::arg("signed") = true);
  const auto* first = reinterpret_cast<const std::byte*>(PyBytes_AS_STRING(bytes.ptr()));
  auto size = static_cast<size_t>(PyBytes_GET_SIZE(bytes.ptr()));
  // -2^(8n-1) fits n bytes, but its bit length asks for one more.
  const bool has_spare_sign =
      first[size - 1] == std::byte{0xff} && (first[size - 2] & std::byte{0x80}) != std::byte{0};
  if (has_spare_sign) --size;
  sink_.out().big_integer({first, size});
}

void ObjectWriter::write_dict(PyObject* dict) {
  PickleWriter& out = sink_.out();
  out.empty_dict();
  sink_.memoize(dict);
  const Py_ssize_t size = PyDict_GET_SIZE(dict);
  if (size == 0) return;
  Py_ssize_t position = 0;
  int64_t count = PickleWriter::kBatchItems;
  while (count == PickleWriter::kBatchItems) {
    if (size > 1) out.mark();
    PyObject *key = nullptr, *value = nullptr;
    for (count = 0; count < PickleWriter::kBatchItems && PyDict_Next(dict, &position, &key, &value);
         ++count) {
      const nb::object held_key = nb::borrow(key), held_value = nb::borrow(value);
      write(key);
      write(value);
      if (PyDict_GET_SIZE(dict) != size) throw NotNative{"a dict that changes during the save"};
    }
    size > 1 ? out.set_items() : out.set_item();
  }
}

// Items of a dict subclass: the pickler batches an iterator otherwise than a plain dict.
void ObjectWriter::write_items(PyObject* iterator) {
  PickleWriter& out = sink_.out();
  int64_t count = PickleWriter::kBatchItems;
  while (count == PickleWriter::kBatchItems) {
    const auto first = next_of(iterator);
    if (!first) return;
    auto item = next_of(iterator);
    if (!item) {
      write_item(first->ptr());
      return out.set_item();
    }
    out.mark();
    write_item(first->ptr());
    for (count = 1; item; item = next_of(iterator)) {
      write_item(item->ptr());
      if (++count == PickleWriter::kBatchItems) break;
    }
    out.set_items();
  }
}

void ObjectWriter::write_item(PyObject* pair) {
  if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2) throw not_native(pair);
  write(PyTuple_GET_ITEM(pair, 0));
  write(PyTuple_GET_ITEM(pair, 1));
}

void ObjectWriter::write_list(PyObject* list) {
  PickleWriter& out = sink_.out();
  out.empty_list();
  sink_.memoize(list);
  const bool is_single = PyList_GET_SIZE(list) == 1;
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(list);) {
    if (!is_single) out.mark();
    for (int64_t count = 0; count < PickleWriter::kBatchItems && i < PyList_GET_SIZE(list);
         ++count, ++i) {
      const nb::object item = nb::borrow(PyList_GET_ITEM(list, i));
      write(item.ptr());
    }
    is_single ? out.append() : out.appends();
  }
}

void ObjectWriter::write_tuple(PyObject* tuple) {
  PickleWriter& out = sink_.out();
  const Py_ssize_t size = PyTuple_GET_SIZE(tuple);
  if (size == 0) return out.empty_tuple();  // a singleton, never memoized
  if (size > 3) out.mark();
  for (Py_ssize_t i = 0; i < size; ++i) write(PyTuple_GET_ITEM(tuple, i));
  if (sink_.is_known(tuple)) {  // an item led back to it: that one stands
    if (size > 3) out.pop_mark();
    for (Py_ssize_t i = 0; size <= 3 && i < size; ++i) out.pop();
    sink_.get_if_known(tuple);
    return;
  }
  size > 3 ? out.tuple() : out.short_tuple(static_cast<int>(size));
  sink_.memoize(tuple);
}

void ObjectWriter::write_set(PyObject* set, const GlobalName& cls) {
  sink_.global(cls);
  const nb::object items = checked(PySequence_List(set));
  write_list(items.ptr());
  sink_.out().short_tuple(1);
  sink_.memoize_fresh();
  sink_.out().reduce();
  sink_.memoize(set);
}

// Protocol 2 has no bytes: they are text of their code points, encoded when read.
void ObjectWriter::write_bytes(PyObject* bytes) {
  if (PyBytes_GET_SIZE(bytes) == 0) {
    sink_.global(torch_.byte_string);
    sink_.out().empty_tuple();
  } else {
    sink_.global(torch_.encode);
    const nb::object text = checked(
        PyUnicode_DecodeLatin1(PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes), "strict"));
    sink_.text(text.ptr());
    sink_.text(torch_.latin1_text);
    sink_.out().short_tuple(2);
    sink_.memoize_fresh();
  }
  sink_.out().reduce();
  sink_.memoize(bytes);
}

void ObjectWriter::write_bytearray(PyObject* bytes) {
  sink_.global(torch_.byte_array);
  if (PyByteArray_GET_SIZE(bytes) == 0) {
    sink_.out().empty_tuple();
  } else {
    const nb::object copy = checked(PyBytes_FromObject(bytes));
    write(copy.ptr());
    sink_.out().short_tuple(1);
    sink_.memoize_fresh();
  }
  sink_.out().reduce();
  sink_.memoize(bytes);
}

void ObjectWriter::write_complex(PyObject* number) {
  sink_.global(torch_.complex_number);
  sink_.out().real(PyComplex_RealAsDouble(number));
  sink_.out().real(PyComplex_ImagAsDouble(number));
  sink_.out().short_tuple(2);
  sink_.memoize_fresh();
  sink_.out().reduce();
  sink_.memoize(number);
}

void ObjectWriter::write_reduced(PyObject* object, const GlobalName& cls) {
  const nb::object reduced = checked(PyObject_CallMethod(object, "__reduce_ex__", "i", 2));
  if (!PyTuple_CheckExact(reduced.ptr())) throw not_native(object);
  const auto part = [&](Py_ssize_t i) {
    return i < PyTuple_GET_SIZE(reduced.ptr()) ? PyTuple_GET_ITEM(reduced.ptr(), i) : Py_None;
  };
  PyObject *args = part(1), *state = part(2), *list_items = part(3), *dict_items = part(4);
  const bool is_call = part(0) == cls.object && PyTuple_CheckExact(args) && list_items == Py_None;
  if (!is_call) throw not_native(object);
  sink_.global(cls);
  write(args);
  sink_.out().reduce();
  sink_.memoize(object);
  if (dict_items != Py_None) write_items(dict_items);
  if (state == Py_None) return;
  write(state);
  sink_.out().build();
}

}  // namespace tintype::python
