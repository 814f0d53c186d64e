#include "bindings/src/raise.h"

#include <string>

#include <nanobind/nanobind.h>

namespace nb = nanobind;

namespace tintype::python {

PyObject* make_exception(const Status& status) {
  nb::object make = nb::module_::import_("tintype._errors").attr("make_error");
  const std::string code(to_string(status.code()));
  const std::string message(status.message());
  const std::string path(status.path());
  return make(nb::str(code.c_str()), path_to_python(message), status.error_number(),
              path_to_python(path))
      .release()
      .ptr();
}

void raise_status(const Status& status) {
  if (PyErr_Occurred() == nullptr) {
    nb::object exception = nb::steal(make_exception(status));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
  }
  throw nb::python_error();
}

nb::object path_to_python(std::string_view path) {
  PyObject* text =
      PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size()));
  if (text == nullptr) throw nb::python_error();
  return nb::steal(text);
}

bool is_signal_pending() {
  nb::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

}  // namespace tintype::python
