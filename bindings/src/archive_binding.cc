#include "bindings/src/archive_binding.h"

#include <memory>
#include <optional>
#include <string>
#include <unordered_set>

#include <nanobind/stl/optional.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unordered_set.h>
#include <nanobind/stl/vector.h>

#include "bindings/src/python_source.h"
#include "bindings/src/raise.h"
#include "bindings/src/without_gil.h"
#include "engine/restore/archive.h"
#include "engine/restore/checkpoint_marks.h"
#include "engine/restore/verify.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

// Texts of a file: lone surrogates come back as they went in; what is no UTF-8 is replaced.
nb::object text(std::string_view utf8) {
  const auto size = static_cast<Py_ssize_t>(utf8.size());
  PyObject* decoded = PyUnicode_DecodeUTF8(utf8.data(), size, "surrogatepass");
  if (decoded == nullptr) {
    PyErr_Clear();
    decoded = PyUnicode_DecodeUTF8(utf8.data(), size, "replace");
  }
  return nb::steal(decoded);
}

nb::object path_text(std::string_view path) {
  return nb::steal(
      PyUnicode_DecodeFSDefaultAndSize(path.data(), static_cast<Py_ssize_t>(path.size())));
}

nb::dict report_dict(const VerifyReport& report) {
  nb::list problems;
  for (const VerifyProblem& problem : report.problems) {
    nb::list tensors;
    for (const std::string& name : problem.tensors) tensors.append(text(name));
    problems.append(nb::make_tuple(text(problem.record), problem.offset, text(problem.text),
                                   nb::tuple(tensors), problem.extent, text(problem.remedy)));
  }
  nb::list notes;
  for (const std::string& note : report.notes) notes.append(text(note));
  nb::dict d;
  d["path"] = path_text(report.path);
  d["form"] = text(to_string(report.form));
  d["file_bytes"] = report.file_bytes;
  d["size_bytes"] = report.size_bytes;
  d["extent_count"] = report.extent_count;
  d["record_count"] = report.record_count;
  d["checked_bytes"] = report.checked_bytes;
  d["problems"] = problems;
  d["notes"] = notes;
  const Status status = report.status();
  d["summary"] = text(status.message());
  d["remedy"] = text(status.remedy());
  return d;
}

nb::dict verify_source(const nb::object& file,
                       const std::optional<std::unordered_set<std::string>>& storage_keys) {
  auto source = open_source(file, Access::one_pass);
  VerifyOptions options;
  options.reading.is_interrupted = is_signal_pending;
  options.storages = StorageChoice(storage_keys);
  return report_dict(
      value_or_raise(call_without_gil([&] { return verify(std::move(source), options); })));
}

std::string form_of(const nb::object& file) {
  const auto source = open_source(file, Access::random);
  return std::string(
      to_string(value_or_raise(call_without_gil([&] { return detect_form(*source); }))));
}

std::shared_ptr<Archive> open_archive(const nb::object& file) {
  auto source = open_source(file, Access::random);
  return value_or_raise(call_without_gil([&]() -> Result<std::unique_ptr<Archive>> {
    TINTYPE_ASSIGN_OR_RETURN(Image image, image_of(std::move(source), {}, is_signal_pending));
    return Archive::open(std::move(image));
  }));
}

std::string_view to_string(TensorEntry::Form form) {
  switch (form) {
    case TensorEntry::Form::strided: return "strided";
    case TensorEntry::Form::quantized: return "quantized";
    case TensorEntry::Form::meta: return "meta";
    case TensorEntry::Form::storage: return "storage";
  }
  return "?";
}

nb::list tensors(const Archive& archive) {
  nb::list list;
  for (const TensorEntry& tensor : archive.tensors()) {
    nb::dict d;
    d["name"] = text(tensor.name);
    d["form"] = text(to_string(tensor.form));
    d["dtype"] = text(tensor.dtype);
    d["shape"] = nb::tuple(nb::cast(tensor.shape));
    d["stride"] = nb::tuple(nb::cast(tensor.stride));
    d["storage_offset"] = tensor.storage_offset;
    d["size_bytes"] = tensor.size_bytes;
    d["storage_key"] = text(tensor.storage_key);
    d["storage_bytes"] = tensor.storage_bytes;
    d["device"] = text(tensor.device);
    d["python_type"] = text(tensor.python_type);
    d["requires_grad"] = tensor.requires_grad;
    d["is_conjugate"] = tensor.is_conjugate;
    d["is_negative"] = tensor.is_negative;
    list.append(d);
  }
  return list;
}

nb::list values(const Archive& archive) {
  nb::list list;
  for (const ValueEntry& value : archive.values()) {
    list.append(
        nb::make_tuple(text(value.name), text(value.type), text(value.text), value.is_opaque));
  }
  return list;
}

nb::list records(const Archive& archive) {
  nb::list list;
  for (const ArchiveRecord& record : archive.records()) {
    list.append(nb::make_tuple(text(record.name), record.header_offset, record.stored_bytes,
                               record.size_bytes, record.crc32,
                               static_cast<uint32_t>(record.method), record.limit_offset));
  }
  return list;
}

const TensorEntry& find(const Archive& archive, size_t position) {
  if (position >= archive.tensors().size()) throw nb::index_error();
  return archive.tensors()[position];
}

// The whole storage of the tensor at this position of the list, into storage_bytes at `address`.
void read_storage(const Archive& archive, size_t position, uint64_t address) {
  const TensorEntry& tensor = find(archive, position);
  const ArchiveRecord* record = value_or_raise(archive.record_of(tensor));
  // An integer from Python's data_ptr(); it has storage_bytes, as record_of has checked.
  auto* target = reinterpret_cast<std::byte*>(address);  // NOLINT(performance-no-int-to-ptr)
  raise_if_error(call_without_gil([&] {
    return archive.read_record(*record, {target, record->size_bytes});
  }));
}

}  // namespace

void bind_archive(nb::module_& module) {
  module.def("verify", &verify_source, nb::arg("file"), nb::arg("storage_keys").none());
  module.def("form_of", &form_of, nb::arg("file"));
  nb::class_<Archive>(module, "Archive")
      .def_static("open", &open_archive)
      .def_prop_ro("form",
                   [](const Archive& archive) { return std::string(to_string(archive.form())); })
      .def_prop_ro("file_bytes", &Archive::file_bytes)
      .def_prop_ro("size_bytes", &Archive::size_bytes)
      .def_prop_ro("start_offset",
                   [](const Archive& archive) { return archive.index().start_offset; })
      .def_prop_ro("root", [](const Archive& archive) { return text(archive.index().root); })
      .def_prop_ro("byte_order",
                   [](const Archive& archive) {
                     return archive.byte_order() == ByteOrder::big ? "big" : "little";
                   })
      .def("tensors", &tensors)
      .def("values", &values)
      .def("records", &records)
      .def("read_storage", &read_storage);
}

}  // namespace tintype::python
