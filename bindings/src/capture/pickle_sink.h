// A pickle under way, with its memo by identity as CPython's pickler keeps one.
#pragma once

#include <string>
#include <vector>

#include <nanobind/nanobind.h>

#include "bindings/src/capture/identity_map.h"
#include "bindings/src/capture/torch_handles.h"
#include "io/archive/pickle_writer.h"

namespace tintype::python {

// Thrown by the native walk when it meets what it does not write itself; the object then goes to
// Python's pickler. `what` is for the report: the type's name, or why.
struct NotNative {
  std::string what;
};

NotNative not_native(PyObject* object);  // names the object's type

// Needs the GIL; not thread-safe.
class PickleSink {
 public:
  PickleWriter& out() { return out_; }

  // The object's memo number, or IdentityMap::kAbsent.
  uint32_t memo_of(PyObject* object) const {
    return memo_.find(reinterpret_cast<uint64_t>(object));
  }
  bool is_known(PyObject* object) const { return memo_of(object) != IdentityMap::kAbsent; }
  // Pushes the object again if it was memoized; false if it was not.
  bool get_if_known(PyObject* object);
  // Memoizes the object on the top of the stack, and keeps it: a freed address may be used again.
  void memoize(PyObject* object);
  // The same for an object made for this pickle: nothing that follows can be it.
  void memoize_fresh() { out_.memoize(); }

  void global(const GlobalName& name);
  // REQUIRES: an exact str. Throws NotNative over 4 GiB.
  void text(PyObject* text);

  // A str that is written again and again: looked up once.
  struct ConstantText {
    PyObject* object;
    uint32_t memo = IdentityMap::kAbsent;
  };
  void text(ConstantText& constant);

 private:
  void new_text(PyObject* text);

  PickleWriter out_;
  IdentityMap memo_;
  std::vector<uint32_t> global_memos_;  // by GlobalName::number, as far as met
  std::vector<nanobind::object> kept_;
};

}  // namespace tintype::python
