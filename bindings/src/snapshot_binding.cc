#include "bindings/src/snapshot_binding.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <string>

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>

#include "bindings/src/paths.h"
#include "bindings/src/raise.h"
#include "bindings/src/without_gil.h"
#include "engine/snapshot.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

using Clock = std::chrono::steady_clock;
using Wait = std::optional<Status> (Snapshot::*)(std::optional<std::chrono::nanoseconds>);

Wait wait_for(const std::string& milestone) {
  if (milestone == "staged") return &Snapshot::wait_staged;
  if (milestone == "durable") return &Snapshot::wait_durable;
  return &Snapshot::wait_published;
}

// In slices, so that signals are seen. nullopt: timed out, or interrupted (then is_interrupted).
std::optional<Status> wait_in_slices(Snapshot& snapshot, Wait wait_slice,
                                     std::optional<Clock::time_point> deadline,
                                     bool& is_interrupted) {
  for (;;) {
    std::chrono::nanoseconds slice = kSignalPeriod;
    if (deadline) slice = std::clamp<std::chrono::nanoseconds>(*deadline - Clock::now(), {}, slice);
    const auto reached = (snapshot.*wait_slice)(slice);
    if (reached || (deadline && Clock::now() >= *deadline)) return reached;
    if ((is_interrupted = is_signal_pending())) return std::nullopt;
  }
}

// False when it timed out (seconds < 0 never does); raises the save's error, or what a signal
// handler raised.
bool wait(Snapshot& snapshot, const std::string& milestone, double seconds) {
  std::optional<Clock::time_point> deadline;
  if (seconds >= 0) {
    const auto limit = std::chrono::duration<double>(std::min(seconds, 1e9));
    deadline = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit);
  }
  bool is_interrupted = false;
  const auto reached = without_gil(
      [&] { return wait_in_slices(snapshot, wait_for(milestone), deadline, is_interrupted); });
  if (is_interrupted) throw nb::python_error();
  if (reached) raise_if_error(*reached);
  return reached.has_value();
}

// True in the final state. Raises nothing, and an error stays unseen.
bool wait_done(Snapshot& snapshot, double seconds) {
  const auto limit = std::chrono::duration<double>(seconds);
  return without_gil([&] {
    return snapshot.wait_done(std::chrono::duration_cast<std::chrono::nanoseconds>(limit));
  });
}

nb::dict report(const Snapshot& snapshot) {
  const SnapshotReport r = snapshot.report();
  nb::dict d;
  const auto text = [](std::string_view view) { return nb::str(view.data(), view.size()); };
  d["state"] = text(to_string(r.state));
  d["total_bytes"] = r.total_bytes;
  d["written_bytes"] = r.written_bytes;
  d["stored_bytes"] = r.stored_bytes;
  d["coded_bytes"] = r.coded_bytes;
  d["storage_bytes"] = r.storage_bytes;
  d["file_count"] = r.file_count;
  d["capture_ns"] = r.capture_ns;
  d["plan_ns"] = r.plan_ns;
  d["busy_wait_ns"] = r.busy_wait_ns;
  d["slot_wait_ns"] = r.slot_wait_ns;
  d["copy_ns"] = r.copy_ns;
  d["encode_ns"] = r.encode_ns;
  d["stage_ns"] = r.stage_ns;
  d["blocking_ns"] = r.blocking_ns;
  d["eager_bytes"] = r.eager_bytes;
  d["lazy_bytes"] = r.lazy_bytes;
  d["guard_wait_ns"] = r.guard_wait_ns;
  d["hidden_bytes_predicted"] = r.hidden_bytes_predicted;
  d["guard_wait_ns_predicted"] = r.guard_wait_ns_predicted;
  d["queue_wait_ns"] = r.queue_wait_ns;
  d["write_ns"] = r.write_ns;
  d["durable_ns"] = r.durable_ns;
  d["published_ns"] = r.published_ns;
  d["commit_ns"] = r.commit_ns;
  d["sync_ns"] = r.sync_ns;
  d["publish_ns"] = r.publish_ns;
  d["short_writes"] = r.short_writes;
  d["retried_writes"] = r.retried_writes;
  d["is_direct_io"] = r.is_direct_io;
  d["backend"] = text(r.backend);
  d["capture_path"] = text(r.capture_path);
  return d;
}

nb::object error(const Snapshot& snapshot) {
  const Status status = snapshot.error();
  return status.is_ok() ? nb::none() : nb::steal(make_exception(status));
}

}  // namespace

void bind_snapshot(nb::module_& module) {
  nb::class_<Snapshot>(module, "Snapshot")
      .def("wait", &wait, nb::arg("milestone"), nb::arg("seconds"))
      .def("wait_done", &wait_done, nb::arg("seconds"))
      .def("is_done", &Snapshot::is_done)
      .def("cancel", &Snapshot::cancel)
      .def("progress", &Snapshot::progress)
      .def("report", &report)
      .def("error", &error, nb::sig("def error(self) -> BaseException | None"))
      .def("mark_seen", &Snapshot::mark_seen)
      .def_prop_ro("skipped", &Snapshot::is_skipped)
      .def_prop_ro("path", [](const Snapshot& s) { return path_to_python(s.path()); });
}

}  // namespace tintype::python
