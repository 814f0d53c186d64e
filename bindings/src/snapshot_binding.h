// The native half of tintype.Snapshot.
#pragma once

#include <nanobind/nanobind.h>

namespace tintype::python {

void bind_snapshot(nanobind::module_& module);

}  // namespace tintype::python
