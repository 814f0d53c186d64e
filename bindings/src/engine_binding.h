// The native half of tintype.Engine, and the in-memory image stream for file objects.
#pragma once

#include <nanobind/nanobind.h>

namespace tintype::python {

void bind_engine(nanobind::module_& module);

}  // namespace tintype::python
