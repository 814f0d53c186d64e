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

// What a method of the file object gave, as a place or a number of bytes.
uint64_t as_count(const nb::object& file, const char* method, const nb::object& given) {
  uint64_t count = 0;
  if (!nb::try_cast(given, count)) {
    nb::raise_type_error("%s() of a %s gave %s, where a number is wanted", method,
                         nb::inst_name(file).c_str(), nb::repr(given).c_str());
  }
  return count;
}

uint64_t tell(const nb::object& file) { return as_count(file, "tell", file.attr("tell")()); }

}  // namespace

PythonSource::PythonSource(nb::object file) : file_(std::move(file)), name_(describe(file_)) {
  base_ = tell(file_);
  file_.attr("seek")(0, 2);  // some return nothing
  const uint64_t end = tell(file_);
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
  return as_count(file_, "readinto", count);
}

size_t PythonSource::read_copied(MutableBytes target) const {
  const nb::object given = file_.attr("read")(std::min(target.size(), kPieceBytes));
  if (!nb::isinstance<nb::bytes>(given)) {
    nb::raise_type_error("read() of a %s gave %s, where bytes are wanted: open it in binary mode",
                         nb::inst_name(file_).c_str(), nb::inst_name(given).c_str());
  }
  const auto piece = nb::borrow<nb::bytes>(given);
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
