#include "bindings/src/request.h"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <utility>

namespace nb = nanobind;

namespace tintype::python {

uint32_t NativeRequest::add_storage(uint64_t address, uint64_t size_bytes) {
  request_.storages.push_back({reinterpret_cast<const std::byte*>(address), size_bytes});
  return static_cast<uint32_t>(request_.storages.size() - 1);
}

void NativeRequest::add_file(const std::string& path, nb::bytes pickle,
                             const std::vector<uint32_t>& storages, uint64_t alignment,
                             bool is_symlink_followed) {
  TargetFile file;
  file.path = path;
  const auto* first = reinterpret_cast<const std::byte*>(pickle.c_str());
  file.object.pickle.assign(first, first + pickle.size());
  file.object.storages = storages;
  file.alignment = alignment;
  file.is_symlink_followed = is_symlink_followed;
  for (uint32_t storage : storages) {
    if (storage >= request_.storages.size()) throw nb::index_error("no such storage");
  }
  request_.files.push_back(std::move(file));
}

void NativeRequest::set_capture(uint64_t capture_ns, const std::string& capture_path) {
  request_.blocking_ns_before = capture_ns;
  request_.capture_path = capture_path;
}

void NativeRequest::set_publisher(std::unique_ptr<Publisher> publisher) {
  request_.publisher = std::move(publisher);
}

uint64_t NativeRequest::storage_bytes() const {
  uint64_t total = 0;
  for (const auto& storage : request_.storages) total += storage.size_bytes;
  return total;
}

void bind_request(nb::module_& module) {
  nb::class_<NativeRequest>(module, "Request")
      .def(nb::init<>())
      .def("add_storage", &NativeRequest::add_storage)
      .def("add_file", &NativeRequest::add_file)
      .def("set_capture", &NativeRequest::set_capture)
      .def_prop_ro("storage_bytes", &NativeRequest::storage_bytes);
}

}  // namespace tintype::python
