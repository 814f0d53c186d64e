// A readable, seekable Python file object as a ByteSource.
#pragma once

#include <memory>
#include <string>

#include <nanobind/nanobind.h>

#include "bindings/src/without_gil.h"
#include "engine/restore/image.h"
#include "io/archive/byte_source.h"

namespace tintype::python {

// Reads by seek() and readinto(), or read() where there is none, taking the GIL each time; the
// bytes before the file object's position at construction do not belong to it. An exception of the
// file object stays set on the thread, and every read after it fails at once: whoever called must
// look with raise_pending(). Construct and destroy with the GIL held; read from the constructing
// thread only.
class PythonSource final : public ByteSource {
 public:
  explicit PythonSource(nanobind::object file);

  uint64_t size_bytes() const override { return size_bytes_; }
  Status read_at(MutableBytes target, uint64_t offset) const override;
  const std::string& name() const override { return name_; }
  uint64_t skipped_bytes() const override { return base_; }
  bool is_serial() const override { return true; }

 private:
  // Both return how many bytes came; 0 at the end.
  size_t read_into(MutableBytes target) const;
  size_t read_copied(MutableBytes target) const;

  nanobind::object file_;
  bool has_readinto_ = false;
  uint64_t base_ = 0;
  uint64_t size_bytes_ = 0;
  std::string name_;
};

// Throws what a file object has raised. Needs the GIL.
void raise_pending();

// For calls that read file objects: what Python raised in them comes first.
template <typename Call>
auto call_without_gil(const Call& call) {
  auto result = without_gil(call);
  raise_pending();
  return result;
}

// `file` is a path as bytes (os.fsencode), or a readable, seekable file object at its archive.
std::unique_ptr<ByteSource> open_source(const nanobind::object& file, Access access);

}  // namespace tintype::python
