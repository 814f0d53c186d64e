// The native half of tintype.CheckpointCallback: names, retention, index, lock.
#pragma once

#include <nanobind/nanobind.h>

namespace tintype::python {

void bind_directory(nanobind::module_& module);

}  // namespace tintype::python
