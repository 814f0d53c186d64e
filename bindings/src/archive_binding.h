// The reading side: verify, inspect and the plain image as bytes.
#pragma once

#include <nanobind/nanobind.h>

namespace tintype::python {

void bind_archive(nanobind::module_& module);

}  // namespace tintype::python
