#include "bindings/src/guard/retired_references.h"

#include <atomic>
#include <memory>

#include "bindings/src/without_gil.h"

namespace tintype::python {
namespace {

struct Retired {
  std::vector<PyObject*> objects;
  Retired* next = nullptr;
};

// A stack without a lock: a forked child must be able to use it, whatever other threads did.
std::atomic<Retired*> retired{nullptr};

int release_pending(void* /*unused*/) {
  release_retired_references();
  return 0;
}

// True if it was empty before.
bool push(Retired* batch) {
  batch->next = retired.load();
  while (!retired.compare_exchange_weak(batch->next, batch)) {
  }
  return batch->next == nullptr;
}

}  // namespace

HeldReferences::~HeldReferences() {
  if (objects_.empty() || is_interpreter_ending.load()) return;  // the process ends soon
  auto batch = std::make_unique<Retired>();
  batch->objects = std::move(objects_);
  // The interpreter's queue of pending calls is short, and one call releases everything. Where the
  // queue is full, the next call into the package does it.
  if (push(batch.release())) static_cast<void>(Py_AddPendingCall(&release_pending, nullptr));
}

void release_retired_references() {
  for (Retired* first = retired.exchange(nullptr); first != nullptr;) {
    const std::unique_ptr<Retired> batch(first);
    first = batch->next;
    for (PyObject* object : batch->objects) Py_DECREF(object);
  }
}

}  // namespace tintype::python
