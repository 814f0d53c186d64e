// The extension module: conversions only; everything it does is done by the engine.
#include <nanobind/nanobind.h>

#include "bindings/src/archive_binding.h"
#include "bindings/src/archive_file.h"
#include "bindings/src/capture/capture.h"
#include "bindings/src/directory_binding.h"
#include "bindings/src/engine_binding.h"
#include "bindings/src/request.h"
#include "bindings/src/snapshot_binding.h"
#include "engine/device/cuda_device.h"

NB_MODULE(_tintype, module) {
  // A user's global that is alive at exit is no leak; the engine drains by atexit.
  nanobind::set_leak_warnings(false);
  module.doc() = "Native part of tintype. Use the package, not this module.";
  module.def("is_built_with_cuda", &tintype::is_built_with_cuda);
  tintype::python::bind_capture(module);
  tintype::python::bind_request(module);
  tintype::python::bind_snapshot(module);
  tintype::python::bind_engine(module);
  tintype::python::bind_directory(module);
  tintype::python::bind_archive(module);
  tintype::python::bind_archive_file(module);
}
