#include "bindings/src/python_source.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "bindings/src/raise.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

constexpr size_t kPieceBytes = 16u << 20;  // of a copy

std::string describe(const nb::object& file) {
  const nb::object name = nb::getattr(file, "name", nb::none());
  if (nb::isinstance<nb::str>(name)) return nb::cast<nb::str>(name).c_str();
  return std::string("<") + nb::type_name(file.type()).c_str() + ">";
}

}  // namespace

PythonSource::PythonSource(nb::object file) : file_(std::move(file)), name_(describe(file_)) {
  base_ = nb::cast<uint64_t>(file_.attr("tell")());
  file_.attr("seek")(0, 2);  // some return nothing
  const auto end = nb::cast<uint64_t>(file_.attr("tell")());
  has_readinto_ = nb::hasattr(file_, "readinto");
  size_bytes_ = end > base_ ? end - base_ : 0;
}

Status PythonSource::read_at(MutableBytes target, uint64_t offset) const {
  TINTYPE_RETURN_IF_ERROR(check_range(*this, offset, target.size()));
  nb::gil_scoped_acquire gil;
  if (PyErr_Occurred() != nullptr) return Status::internal("the file object has failed before");
  try {
    file_.attr("seek")(base_ + offset);
    while (!target.empty()) {
      const size_t bytes = has_readinto_ ? read_into(target) : read_copied(target);
      if (bytes == 0 || bytes > target.size()) {
        return Status::corruption("'" + name_ + "' ended while it was read");
      }
      target = target.subspan(bytes);
    }
    return Status::ok();
  } catch (nb::python_error& error) {
    error.restore();
    return Status::internal("the file object failed");
  }
}

size_t PythonSource::read_into(MutableBytes target) const {
  const nb::object view = nb::steal(PyMemoryView_FromMemory(
      reinterpret_cast<char*>(target.data()), static_cast<Py_ssize_t>(target.size()), PyBUF_WRITE));
  const nb::object count = file_.attr("readinto")(view);
  view.attr("release")();  // the file object must not keep what is ours
  return count.is_none() ? 0 : nb::cast<size_t>(count);
}

size_t PythonSource::read_copied(MutableBytes target) const {
  const auto piece = nb::cast<nb::bytes>(file_.attr("read")(std::min(target.size(), kPieceBytes)));
  if (piece.size() <= target.size()) std::memcpy(target.data(), piece.data(), piece.size());
  return piece.size();
}

void raise_pending() {
  if (PyErr_Occurred() != nullptr) throw nb::python_error();
}

std::unique_ptr<ByteSource> open_source(const nb::object& file, Access access) {
  if (!nb::isinstance<nb::bytes>(file)) return std::make_unique<PythonSource>(file);
  const auto bytes = nb::cast<nb::bytes>(file);
  const std::string path(bytes.c_str(), bytes.size());
  return value_or_raise(without_gil([&] { return open_file(posix_file_system(), path, access); }));
}

}  // namespace tintype::python
