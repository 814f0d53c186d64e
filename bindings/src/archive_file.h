// A checkpoint's plain image as a file object of Python.
#pragma once

#include <nanobind/nanobind.h>

namespace tintype::python {

void bind_archive_file(nanobind::module_& module);

}  // namespace tintype::python
