#include "bindings/src/raise.h"

#include <string>

#include <nanobind/nanobind.h>

#include "bindings/src/paths.h"
#include "bindings/src/without_gil.h"

namespace nb = nanobind;

namespace tintype::python {

PyObject* make_exception(const Status& status) {
  nb::object make = nb::module_::import_("tintype._errors").attr("make_error");
  const std::string code(to_string(status.code()));
  const std::string message(status.message());
  const std::string remedy(status.remedy());
  const std::string path(status.path());
  return make(nb::str(code.c_str()), path_to_python(message), path_to_python(remedy),
              status.error_number(), path_to_python(path))
      .release()
      .ptr();
}

void raise_status(const Status& status) {
  const PythonCall active;
  if (PyErr_Occurred() == nullptr) {
    nb::object exception = nb::steal(make_exception(status));
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
  }
  throw nb::python_error();
}

bool is_signal_pending() {
  nb::gil_scoped_acquire gil;
  return PyErr_CheckSignals() != 0;
}

}  // namespace tintype::python
