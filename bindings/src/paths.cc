#include "bindings/src/paths.h"

namespace nb = nanobind;

namespace tintype::python {

nb::str path_to_python(std::string_view path) {
  PyObject* text =
      PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size()));
  if (text == nullptr) throw nb::python_error();
  return nb::steal<nb::str>(text);
}

std::string path_from_python(const nb::str& path) {
  PyObject* encoded = PyUnicode_EncodeFSDefault(path.ptr());
  if (encoded == nullptr) throw nb::python_error();
  const auto bytes = nb::steal<nb::bytes>(encoded);
  return {bytes.c_str(), bytes.size()};
}

}  // namespace tintype::python
