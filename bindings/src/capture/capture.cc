#include "bindings/src/capture/capture.h"

#include <cstdint>
#include <utility>
#include <vector>

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings/src/capture/object_writer.h"
#include "bindings/src/capture/storage_table.h"
#include "bindings/src/capture/torch_handles.h"
#include "bindings/src/without_gil.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

// Thousands of live objects are kept and none is garbage: collecting meanwhile finds nothing.
class CollectorPause {
 public:
  CollectorPause() : was_enabled_(PyGC_Disable() != 0) {}
  ~CollectorPause() {
    if (was_enabled_) PyGC_Enable();
  }
  CollectorPause(const CollectorPause&) = delete;
  CollectorPause& operator=(const CollectorPause&) = delete;

 private:
  const bool was_enabled_;
};

Captured write_natively(nb::handle object, StorageTable& table) {
  const TorchHandles* torch = TorchHandles::get();
  if (torch == nullptr) throw NotNative{"this version of Python or torch"};
  if (!torch->is_stock()) throw NotNative{"a reducer or location tag of the user's own"};
  const CollectorPause pause;
  PickleSink sink;
  TensorWriter tensors(*torch, table, sink);
  ObjectWriter(*torch, sink, tensors).write(object.ptr());
  return {{sink.out().finish(), tensors.take_storages()}, "native"};
}

// A Captured, or the text of what forces the fallback. What Python raises on the way is raised
// again, in its own words, by Python's pickler.
nb::object capture_natively(StorageTable& table, nb::handle object) {
  // torch gives the GIL away in some of what the walk calls: a daemon thread must not be killed
  // there.
  const PythonCall active;
  try {
    return nb::cast(write_natively(object, table));
  } catch (const NotNative& reason) {
    return nb::str(reason.what.c_str());
  } catch (nb::python_error& error) {
    if (!error.matches(PyExc_Exception)) throw;
    return nb::str(nb::type_name(error.type()).c_str());
  }
}

Captured from_pickler(const nb::bytes& pickle, std::vector<uint32_t> storages,
                      const std::string& path) {
  const auto* first = reinterpret_cast<const std::byte*>(pickle.c_str());
  return {{ByteVector(first, first + pickle.size()), std::move(storages)}, path};
}

}  // namespace

void bind_capture(nb::module_& module) {
  nb::class_<Captured>(module, "Captured")
      .def_static("from_pickler", &from_pickler, nb::arg("pickle"), nb::arg("storages"),
                  nb::arg("path"))
      .def_ro("path", &Captured::path)
      .def_prop_ro("pickle", [](const Captured& captured) {
        return nb::bytes(captured.object.pickle.data(), captured.object.pickle.size());
      });
  nb::class_<StorageTable>(module, "StorageTable")
      .def(nb::init<>())
      .def(
          "add",
          [](StorageTable& table, nb::handle untyped_storage, uint64_t size_bytes,
             uint32_t element_bytes, bool is_floating) {
            return table.add(untyped_storage, {size_bytes, element_bytes, is_floating});
          },
          nb::arg("untyped_storage"), nb::arg("size_bytes"), nb::arg("element_bytes"),
          nb::arg("is_floating"))
      .def("is_unmoved", &StorageTable::is_unmoved)
      .def("capture", &capture_natively, nb::arg("obj").none(),
           nb::sig("def capture(self, obj: object) -> Captured | str"));
}

}  // namespace tintype::python
