// Python references that may be dropped on threads that must not wait for the GIL.
#pragma once

#include <utility>
#include <vector>

#include <Python.h>

namespace tintype::python {

// Owns references for a thread of the engine: destroying it, on any thread and without the GIL,
// only puts them aside. They are released by the next call into the package, by the interpreter's
// main thread between two bytecodes, or at exit, whichever comes first.
class HeldReferences {
 public:
  HeldReferences() = default;
  ~HeldReferences();

  // Takes a new reference. Needs the GIL.
  void add(PyObject* object) { objects_.push_back(Py_NewRef(object)); }

  bool is_empty() const { return objects_.empty(); }

  HeldReferences(HeldReferences&& other) noexcept : objects_(std::exchange(other.objects_, {})) {}
  HeldReferences& operator=(HeldReferences&&) = delete;
  HeldReferences(const HeldReferences&) = delete;
  HeldReferences& operator=(const HeldReferences&) = delete;

 private:
  std::vector<PyObject*> objects_;
};

// Releases what was put aside so far. Needs the GIL.
void release_retired_references();

}  // namespace tintype::python
