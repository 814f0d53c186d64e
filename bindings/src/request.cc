#include "bindings/src/request.h"

#include <utility>

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "bindings/src/guard/guarded_tensors.h"
#include "bindings/src/guard/lazy_storages.h"
#include "bindings/src/paths.h"

namespace nb = nanobind;

namespace tintype::python {

NativeRequest::NativeRequest(const StorageTable& table) : cuda_devices_(table.device_indices()) {
  request_.storages = table.storages();
  request_.devices = table.devices();
  for (uint32_t i = 0; i < request_.storages.size(); ++i) {
    if (request_.storages[i].device != kHostMemory) held_.add(table.storage_object(i));
  }
}

void NativeRequest::add_file(const std::string& path, Captured& captured, uint64_t alignment,
                             bool is_symlink_followed, const TargetForm& form) {
  for (const uint32_t storage : captured.object.storages) {
    if (storage >= request_.storages.size()) throw nb::index_error("no such storage");
  }
  request_.files.push_back({.path = path,
                            .object = std::move(captured.object),
                            .alignment = alignment,
                            .is_symlink_followed = is_symlink_followed,
                            .form = form});
}

void NativeRequest::set_capture(uint64_t capture_ns, const std::string& capture_path) {
  request_.blocking_ns_before = capture_ns;
  request_.capture_path = capture_path;
}

void NativeRequest::guard(const StorageTable& table, const nb::list& optimizers,
                          const std::shared_ptr<TornTensors>& torn) {
  const TorchHandles* torch = TorchHandles::get();
  if (torch == nullptr) return;  // an unknown torch: all is eager
  GuardedTensors guarded(*torch);
  for (const nb::handle optimizer : optimizers) guarded.add_optimizer(optimizer[0], optimizer[1]);
  request_.witness = mark_lazy_storages(request_.storages, table, guarded, torn);
  if (request_.witness == nullptr) return;
  for (uint32_t i = 0; i < request_.storages.size(); ++i) {
    if (request_.storages[i].is_lazy) held_.add(table.storage_object(i));
  }
}

void NativeRequest::set_slab(uint32_t position, const nb::object& tensor) {
  if (position >= request_.devices.size()) throw nb::index_error("no such device");
  const auto address = nb::cast<uint64_t>(tensor.attr("data_ptr")());
  const auto size_bytes = nb::cast<uint64_t>(tensor.attr("nbytes"));
  auto* const first = reinterpret_cast<std::byte*>(address);  // NOLINT(performance-no-int-to-ptr)
  request_.devices[position].slab = {first, size_bytes};
  held_.add(tensor.ptr());
}

SaveRequest NativeRequest::take() {
  if (!held_.is_empty()) {
    request_.storage_owner = std::make_shared<HeldReferences>(std::move(held_));
  }
  return std::move(request_);
}

void NativeRequest::set_publisher(std::unique_ptr<Publisher> publisher) {
  request_.publisher = std::move(publisher);
}

uint64_t NativeRequest::storage_bytes() const {
  uint64_t total = 0;
  for (const auto& storage : request_.storages) total += storage.size_bytes;
  return total;
}

FileForm form_named(std::string_view name) {
  for (const FileForm form : kFileForms) {
    if (to_string(form) == name) return form;
  }
  throw nb::value_error("no such form");
}

void bind_request(nb::module_& module) {
  module.def(
      "form_of_name",
      [](const nb::str& path) {
        return std::string(to_string(form_of_name(path_from_python(path))));
      },
      nb::arg("path"));
  module.def(
      "suffix_of_form",
      [](const std::string& form) { return std::string(suffix_of(form_named(form))); },
      nb::arg("form"));
  nb::class_<TornTensors>(module, "TornTensors").def(nb::init<>());
  nb::class_<NativeRequest>(module, "Request")
      .def(nb::init<const StorageTable&>(), nb::arg("table"))
      .def("add_file",
           [](NativeRequest& request, const nb::str& path, Captured& captured, uint64_t alignment,
              bool is_symlink_followed, const std::string& form, bool is_adaptive) {
             request.add_file(path_from_python(path), captured, alignment, is_symlink_followed,
                              {.form = form_named(form), .is_adaptive = is_adaptive});
           })
      .def("guard", &NativeRequest::guard, nb::arg("table"), nb::arg("optimizers"),
           nb::arg("torn").none())
      .def("set_capture", &NativeRequest::set_capture)
      .def("set_slab", &NativeRequest::set_slab, nb::arg("position"), nb::arg("tensor"))
      .def_prop_ro("cuda_devices", &NativeRequest::cuda_devices);
}

}  // namespace tintype::python
