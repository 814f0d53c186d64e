// The extension module: conversions only; everything it does is done by the engine.
#include <nanobind/nanobind.h>

#include "bindings/src/engine_binding.h"
#include "bindings/src/request.h"
#include "bindings/src/snapshot_binding.h"

NB_MODULE(_tintype, module) {
  module.doc() = "Native part of tintype. Use the package, not this module.";
  tintype::python::bind_request(module);
  tintype::python::bind_snapshot(module);
  tintype::python::bind_engine(module);
}
