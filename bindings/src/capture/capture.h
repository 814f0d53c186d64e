// Capture as Python sees it: tintype._capture builds on these.
#pragma once

#include <string>

#include <nanobind/nanobind.h>

#include "engine/save_request.h"

namespace tintype::python {

// The pickle of one object, and which storages of its table it names.
struct Captured {
  CapturedObject object;
  std::string path;  // "native" or "pickler: first type that forced it"
};

void bind_capture(nanobind::module_& module);

}  // namespace tintype::python
