#include "bindings/src/engine_binding.h"

#include <nanobind/stl/shared_ptr.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings/src/raise.h"
#include "bindings/src/request.h"
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
  options.max_in_flight = nb::cast<uint32_t>(d["max_in_flight"]);
  options.byte_rate_limit = nb::cast<uint64_t>(d["byte_rate_limit"]);
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

std::unique_ptr<Engine> make_engine(const nb::dict& options) {
  const EngineOptions converted = options_from(options);
  Result<std::unique_ptr<Engine>> engine = Status::internal("not made");
  {
    nb::gil_scoped_release release;
    engine = Engine::create(converted);
  }
  return value_or_raise(std::move(engine));
}

std::shared_ptr<Snapshot> save_async(Engine& engine, NativeRequest& request) {
  SaveRequest taken = request.take();
  Result<std::shared_ptr<Snapshot>> snapshot = Status::internal("not started");
  {
    nb::gil_scoped_release release;
    snapshot = engine.save_async(std::move(taken), is_signal_pending);
  }
  return value_or_raise(std::move(snapshot));
}

template <typename Call>
void call_blocking(Call call) {
  Status status;
  {
    nb::gil_scoped_release release;
    status = call();
  }
  raise_if_error(status);
}

nb::dict stats(const Engine& engine) {
  const EngineStats s = engine.stats();
  nb::dict d;
  d["saves_started"] = s.saves_started;
  d["saves_published"] = s.saves_published;
  d["saves_failed"] = s.saves_failed;
  d["saves_cancelled"] = s.saves_cancelled;
  d["saves_skipped"] = s.saves_skipped;
  d["written_bytes"] = s.written_bytes;
  d["staging_bytes"] = s.staging_bytes;
  d["in_flight"] = s.in_flight;
  d["backend"] = s.backend;
  d["backend_note"] = s.backend_note;
  return d;
}

nb::object next_piece(ImageStream& stream) {
  ByteView piece;
  {
    nb::gil_scoped_release release;
    piece = stream.next();
  }
  return nb::steal(PyMemoryView_FromMemory(
      const_cast<char*>(reinterpret_cast<const char*>(piece.data())),
      static_cast<Py_ssize_t>(piece.size()), PyBUF_READ));
}

}  // namespace

void bind_engine(nb::module_& module) {
  nb::class_<Engine>(module, "Engine")
      .def_static("create", &make_engine)
      .def("save_async", &save_async)
      .def("prepare", [](Engine& e, uint64_t bytes) { call_blocking([&] { return e.prepare(bytes); }); })
      .def("wait", [](Engine& e) { call_blocking([&] { return e.wait(is_signal_pending); }); })
      .def("close", [](Engine& e) {
        call_blocking([&] { return e.wait(is_signal_pending); });
        call_blocking([&] { return e.close(); });
      })
      .def("stats", &stats)
      .def("take_unseen_failures", &Engine::take_unseen_failures);

  nb::class_<ImageStream>(module, "ImageStream")
      .def_static("open",
                  [](NativeRequest& request) {
                    return value_or_raise(ImageStream::open(request.take()));
                  })
      .def_prop_ro("total_bytes", &ImageStream::total_bytes)
      .def("next", &next_piece, nb::sig("def next(self) -> memoryview"));
}

}  // namespace tintype::python
