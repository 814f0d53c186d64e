#include "bindings/src/engine_binding.h"

#include <chrono>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <nanobind/stl/pair.h>
#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "bindings/src/guard/retired_references.h"
#include "bindings/src/paths.h"
#include "bindings/src/raise.h"
#include "bindings/src/request.h"
#include "bindings/src/without_gil.h"
#include "engine/device/cuda_device.h"
#include "engine/engine.h"
#include "engine/image_stream.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

template <typename Choice>
Choice choose(const std::string& name, const std::string& value,
              std::initializer_list<std::pair<const char*, Choice>> choices) {
  std::string known;
  for (const auto& [text, choice] : choices) {
    if (value == text) return choice;
    known += (known.empty() ? "'" : ", '") + std::string(text) + "'";
  }
  throw nb::value_error((name + "='" + value + "' is not one of " + known).c_str());
}

EngineOptions options_from(const nb::dict& d) {
  EngineOptions options;
  options.staging_bytes = nb::cast<uint64_t>(d["staging_bytes"]);
  options.extent_bytes = nb::cast<uint64_t>(d["extent_bytes"]);
  options.queue_depth = nb::cast<uint32_t>(d["queue_depth"]);
  options.encode_threads = nb::cast<uint32_t>(d["encode_threads"]);
  options.max_in_flight = nb::cast<uint32_t>(d["max_in_flight"]);
  options.trace_path = path_from_python(nb::cast<nb::str>(d["trace"]));
  options.byte_rate_limit = nb::cast<uint64_t>(d["byte_rate_limit"]);
  options.stall_timeout_ms = nb::cast<uint64_t>(d["stall_timeout_ms"]);
  options.direct_io = choose<DirectIo>("direct_io", nb::cast<std::string>(d["direct_io"]),
                                       {{"preferred", DirectIo::preferred},
                                        {"required", DirectIo::required},
                                        {"off", DirectIo::off}});
  options.when_busy = choose<WhenBusy>(
      "when_busy", nb::cast<std::string>(d["when_busy"]),
      {{"wait", WhenBusy::wait}, {"skip", WhenBusy::skip}, {"raise", WhenBusy::raise}});
  options.backend = choose<WriteBackend>("backend", nb::cast<std::string>(d["backend"]),
                                         {{"automatic", WriteBackend::automatic},
                                          {"io_uring", WriteBackend::io_uring},
                                          {"pwrite", WriteBackend::pwrite}});
  return options;
}

// What Python holds. Draining may take long, so the engine ends without the GIL.
class BoundEngine {
 public:
  explicit BoundEngine(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
  ~BoundEngine() {
    without_gil([this] { engine_.reset(); });
  }
  Engine& operator*() const { return *engine_; }
  Engine* operator->() const { return engine_.get(); }

  BoundEngine(const BoundEngine&) = delete;
  BoundEngine& operator=(const BoundEngine&) = delete;

 private:
  std::unique_ptr<Engine> engine_;
};

std::unique_ptr<BoundEngine> make_engine(const nb::dict& options) {
  const EngineOptions converted = options_from(options);
  return std::make_unique<BoundEngine>(
      value_or_raise(without_gil([&] { return Engine::create(converted); })));
}

std::shared_ptr<Snapshot> save_async(BoundEngine& engine, NativeRequest& request) {
  const PythonCall active;
  release_retired_references();
  SaveRequest taken = request.take();
  return value_or_raise(
      without_gil([&] { return engine->save_async(std::move(taken), is_signal_pending); }));
}

// Waits for the final state. An interrupt cancels the save; past step 8b it completes.
Status finish_or_cancel(Snapshot& snapshot) {
  for (;;) {
    if (const auto status = snapshot.wait_published(kSignalPeriod)) return *status;
    if (!is_signal_pending()) continue;
    snapshot.cancel();
    snapshot.mark_seen();
    static_cast<void>(snapshot.wait_published(std::nullopt));
    return {StatusCode::interrupted, "interrupted while saving"};
  }
}

// In one call, so that no interrupt finds the save started and nobody to cancel it.
std::shared_ptr<Snapshot> save(BoundEngine& engine, NativeRequest& request) {
  auto snapshot = save_async(engine, request);
  if (snapshot->is_skipped()) {  // this call promises durability: it cannot quietly save nothing
    raise_status({StatusCode::busy,
                  "max_in_flight saves are running, and this engine skips then: nothing was saved; "
                  "wait for them first, or make the engine with when_busy=\"wait\""});
  }
  raise_if_error(without_gil([&] { return finish_or_cancel(*snapshot); }));
  return snapshot;
}

template <typename Call>
void call_blocking(Call call) {
  raise_if_error(without_gil(call));
}

// `streams`: pairs of a CUDA device and a cudaStream_t of it, on which the changes will be made.
void before_mutation(BoundEngine& engine,
                     const std::vector<std::pair<int, StreamHandle>>& streams) {
  std::vector<DeviceStream> waiting;
  waiting.reserve(streams.size());
  for (const auto& [device, stream] : streams) {
    waiting.push_back({value_or_raise(cuda_device(device)), stream});
  }
  call_blocking([&] { return engine->before_mutation(is_signal_pending, waiting); });
  release_retired_references();
}

// Lets the threads that are in native code come back, and keeps them from leaving again; false if
// some did not come in time.
bool wait_for_callers(double seconds) {
  release_retired_references();
  ending_thread = std::this_thread::get_id();
  is_interpreter_ending.store(true);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  nb::gil_scoped_release release;
  while (active_calls.load() > 0) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

nb::dict stats(const BoundEngine& engine) {
  const EngineStats s = engine->stats();
  nb::dict d;
  d["saves_started"] = s.saves_started;
  d["saves_published"] = s.saves_published;
  d["saves_failed"] = s.saves_failed;
  d["saves_cancelled"] = s.saves_cancelled;
  d["saves_skipped"] = s.saves_skipped;
  d["written_bytes"] = s.written_bytes;
  d["staging_bytes"] = s.staging_bytes;
  d["pinned_bytes"] = s.pinned_bytes;
  d["in_flight"] = s.in_flight;
  d["saves_stalled"] = s.saves_stalled;
  d["backend"] = s.backend;
  d["backend_note"] = s.backend_note;
  d["encode_note"] = s.encode_note;
  return d;
}

nb::object next_piece(ImageStream& stream) {
  const ByteView piece = without_gil([&] { return stream.next(); });
  raise_if_error(stream.status());
  return nb::steal(
      PyMemoryView_FromMemory(const_cast<char*>(reinterpret_cast<const char*>(piece.data())),
                              static_cast<Py_ssize_t>(piece.size()), PyBUF_READ));
}

}  // namespace

void bind_engine(nb::module_& module) {
  nb::class_<BoundEngine>(module, "Engine")
      .def_static("create", &make_engine)
      .def("save", &save)
      .def("save_async", &save_async)
      .def("prepare",
           [](BoundEngine& e, const NativeRequest& request) {
             call_blocking([&] {
               return e->prepare(request.storage_bytes(), request.first_device(),
                                 request.is_any_compressed(), is_signal_pending);
             });
           })
      .def("wait",
           [](BoundEngine& e) { call_blocking([&] { return e->wait(is_signal_pending); }); })
      .def("before_mutation", &before_mutation, nb::arg("streams"))
      .def("close",
           [](BoundEngine& e) {
             e->refuse_new_saves();
             call_blocking([&] { return e->wait(is_signal_pending); });
           })
      .def("stats", &stats)
      .def(
          "take_unseen_failures",
          [](BoundEngine& e, const Snapshot* except) { return e->take_unseen_failures(except); },
          nb::arg("but").none());
  module.def("wait_for_callers", &wait_for_callers);

  nb::class_<ImageStream>(module, "ImageStream")
      .def_static(
          "open",
          [](NativeRequest& request) { return value_or_raise(ImageStream::open(request.take())); })
      .def_prop_ro("total_bytes", &ImageStream::total_bytes)
      .def("next", &next_piece, nb::sig("def next(self) -> memoryview"));
}

}  // namespace tintype::python
