#include "bindings/src/archive_file.h"

#include <algorithm>
#include <atomic>
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
#include "bindings/src/read_turns.h"
#include "bindings/src/without_gil.h"
#include "engine/restore/archive.h"
#include "engine/restore/checked_reader.h"
#include "engine/restore/image.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

// What torch's reader asks of a file object, without a Python frame in between: it calls seek and
// readinto four times for every storage. Reads fill the buffer except at the end, and let other
// Python threads run. Several threads may seek, tell and read: each call is whole.
class ArchiveFile {
 public:
  ArchiveFile(const nb::object& file, bool is_checking,
              std::optional<std::unordered_set<std::string>> storage_keys) {
    CheckedReadOptions options = options_for(is_checking, std::move(storage_keys));
    const bool is_one_pass = is_checking && options.storages.is_all();
    auto source = open_source(file, is_one_pass ? Access::one_pass : Access::random);
    reader_ = value_or_raise(
        call_without_gil([&] { return open_reader(std::move(source), std::move(options)); }));
  }

  // Reads through what the archive has open and decoded, which stays open.
  ArchiveFile(const std::shared_ptr<Archive>& archive, bool is_checking,
              std::optional<std::unordered_set<std::string>> storage_keys) {
    CheckedReadOptions options = options_for(is_checking, std::move(storage_keys));
    options.limits = ReadLimits().in_proportion_to(archive->file_bytes());
    const std::shared_ptr<const ByteSource> source(archive, &archive->source());
    reader_ = value_or_raise(
        call_without_gil([&] { return CheckedReader::open(source, std::move(options)); }));
  }

  uint64_t start_offset() const { return reader_->start_offset(); }
  std::vector<std::string> compressed_storages() const { return reader_->compressed_storages(); }
  uint64_t tell() const { return position_; }

  uint64_t seek(int64_t offset, int whence) {
    if (whence < 0 || whence > 2) {
      throw nb::value_error(("whence=" + std::to_string(whence) + " is not 0, 1 or 2").c_str());
    }
    uint64_t current = position_;
    for (;;) {
      const uint64_t bases[] = {0, current, reader_->size_bytes()};  // all below 2^63
      int64_t position = 0;
      if (__builtin_add_overflow(bases[whence], offset, &position)) {
        throw nb::value_error("a place behind the largest that a file can have, 2**63 - 1");
      }
      if (position < 0) throw nb::value_error("a place before the start of the file");
      const auto found = static_cast<uint64_t>(position);
      if (position_.compare_exchange_strong(current, found)) return found;
    }
  }

  uint64_t read_into(const nb::object& buffer) {
    Py_buffer view;
    if (PyObject_GetBuffer(buffer.ptr(), &view, PyBUF_WRITABLE) != 0) throw nb::python_error();
    const MutableBytes target(static_cast<std::byte*>(view.buf), static_cast<size_t>(view.len));
    const auto count = without_gil(
        [&] { return turns_.take(reader_->name(), [&] { return read_from(position_, target); }); });
    PyBuffer_Release(&view);
    raise_pending();
    return value_or_raise(count);
  }

  nb::bytes read(int64_t size) {
    for (;;) {
      const uint64_t start = position_;
      const uint64_t left = left_from(start);
      const uint64_t count = size < 0 ? left : std::min(static_cast<uint64_t>(size), left);
      auto bytes =
          nb::steal<nb::bytes>(PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(count)));
      if (!bytes.is_valid()) throw nb::python_error();
      const MutableBytes target(reinterpret_cast<std::byte*>(PyBytes_AS_STRING(bytes.ptr())),
                                count);
      if (has_read(start, target)) return bytes;
    }
  }

  // See CheckedReader.
  std::optional<std::string> take_left_out() { return reader_->take_left_out(); }

  void finish() {
    raise_if_error(call_without_gil([&] { return reader_->finish(); }));
  }

 private:
  static CheckedReadOptions options_for(
      bool is_checking, std::optional<std::unordered_set<std::string>> storage_keys) {
    CheckedReadOptions options;
    options.is_checking = is_checking;
    options.storages = StorageChoice(std::move(storage_keys));
    options.reading.is_interrupted = is_signal_pending;
    return options;
  }

  static Result<std::unique_ptr<CheckedReader>> open_reader(std::unique_ptr<ByteSource> source,
                                                            CheckedReadOptions options) {
    TINTYPE_ASSIGN_OR_RETURN(Image image, image_of(std::move(source), {}, is_signal_pending));
    options.limits = ReadLimits().in_proportion_to(image.file_bytes);
    return CheckedReader::open(std::move(image.source), std::move(options));
  }

  uint64_t left_from(uint64_t start) const {
    return start < reader_->size_bytes() ? reader_->size_bytes() - start : 0;
  }

  // False where another thread has moved on from `start` before this one's turn came.
  bool has_read(uint64_t start, MutableBytes target) {
    const auto read = [&]() -> Result<bool> {
      if (position_ != start) return false;
      TINTYPE_RETURN_IF_ERROR(read_from(start, target).status());
      return true;
    };
    return value_or_raise(call_without_gil([&] { return turns_.take(reader_->name(), read); }));
  }

  // In turn only. A seek in the meantime counts as behind the read.
  Result<uint64_t> read_from(uint64_t start, MutableBytes target) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(target.size(), left_from(start)));
    if (count == 0) return uint64_t{0};  // the place may lie behind the end
    TINTYPE_RETURN_IF_ERROR(reader_->read(target.first(count), start));
    position_.compare_exchange_strong(start, start + count);
    return count;
  }

  std::unique_ptr<CheckedReader> reader_;
  ReadTurns turns_;  // of reader_
  std::atomic<uint64_t> position_ = 0;
};

}  // namespace

void bind_archive_file(nb::module_& module) {
  nb::class_<ArchiveFile>(module, "ArchiveFile")
      .def(nb::init<const std::shared_ptr<Archive>&, bool,
                    std::optional<std::unordered_set<std::string>>>(),
           nb::arg("archive"), nb::arg("is_checking"), nb::arg("storage_keys").none() = nb::none())
      .def(nb::init<const nb::object&, bool, std::optional<std::unordered_set<std::string>>>(),
           nb::arg("file"), nb::arg("is_checking"), nb::arg("storage_keys").none() = nb::none())
      .def_prop_ro("start_offset", &ArchiveFile::start_offset)
      .def("compressed_storages", &ArchiveFile::compressed_storages)
      .def("tell", &ArchiveFile::tell)
      .def("seek", &ArchiveFile::seek, nb::arg("offset"), nb::arg("whence") = 0)
      .def("readinto", &ArchiveFile::read_into, nb::arg("buffer"))
      .def("read", &ArchiveFile::read, nb::arg("size") = -1)
      .def("take_left_out", &ArchiveFile::take_left_out)
      .def("finish", &ArchiveFile::finish);
}

}  // namespace tintype::python
