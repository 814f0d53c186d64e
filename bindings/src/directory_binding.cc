#include "bindings/src/directory_binding.h"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <string>
#include <utility>

#include "bindings/src/raise.h"
#include "bindings/src/request.h"
#include "engine/directory/checkpoint_directory.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

// Calls back into Python; what it raises becomes a status that carries the exception's text.
template <typename Call>
Status as_status(const std::string& path, Call call) {
  try {
    call();
    return Status::ok();
  } catch (nb::python_error& error) {
    // A Ctrl-C must not be mistaken for a damaged file.
    if (!error.matches(PyExc_Exception)) throw;
    return Status::corruption(path + ": " + error.what());
  } catch (const std::exception& error) {
    return Status::corruption(path + ": " + error.what());
  }
}

Result<FullFileFacts> read_facts(const nb::callable& read, const std::string& path) {
  FullFileFacts facts;
  const Status status = as_status(path, [&] {
    nb::tuple found = nb::cast<nb::tuple>(read(path));
    facts.run_id = nb::cast<std::string>(found[0]);
    facts.stage = nb::cast<std::string>(found[1]);
    facts.epoch = nb::cast<uint64_t>(found[2]);
    facts.metrics = nb::cast<Metrics>(found[3]);
  });
  if (!status.is_ok()) return status;
  return facts;
}

std::unique_ptr<CheckpointDirectory> open(const std::string& logdir, uint32_t save_n_best,
                                          const std::string& main_metric, bool is_minimized,
                                          const std::string& metrics_filename, bool is_resumed,
                                          const nb::callable& facts, const nb::callable& check,
                                          const nb::callable& make_light) {
  CheckpointDirectoryOptions options;
  options.logdir = logdir;
  options.save_n_best = save_n_best;
  options.main_metric = main_metric;
  options.is_metric_minimized = is_minimized;
  options.metrics_filename = metrics_filename;
  options.is_resumed = is_resumed;
  // They run on the thread that calls open() or find_resume_point(), which holds the GIL.
  options.read_facts = [facts](const std::string& path) { return read_facts(facts, path); };
  options.check_file = [check](const std::string& path) {
    return as_status(path, [&] { check(path); });
  };
  options.make_light = [make_light](const std::string& full, const std::string& light) {
    return as_status(light, [&] { make_light(full, light); });
  };
  return value_or_raise(CheckpointDirectory::open(std::move(options)));
}

nb::dict entry_dict(const CheckpointEntry& entry) {
  nb::dict d;
  d["stem"] = entry.stem;
  d["stage"] = entry.stage;
  d["epoch"] = entry.epoch;
  d["score"] = entry.score;
  nb::dict metrics;
  for (const auto& [name, value] : entry.metrics) metrics[name.c_str()] = value;
  d["metrics"] = metrics;
  return d;
}

nb::list entries(const CheckpointDirectory& directory) {
  nb::list list;
  for (const CheckpointEntry& entry : directory.entries()) list.append(entry_dict(entry));
  return list;
}

void bind_plan(nb::module_& module) {
  nb::class_<EpochPlan>(module, "EpochPlan")
      .def_ro("full_path", &EpochPlan::full_path)
      .def_ro("light_path", &EpochPlan::light_path)
      .def_ro("stem", &EpochPlan::stem)
      .def_ro("is_best", &EpochPlan::is_best)
      .def("attach", [](EpochPlan& plan, NativeRequest& request) {
        request.set_publisher(std::move(plan.publisher));
      });
  nb::class_<CheckpointDirectory::ResumePoint>(module, "ResumePoint")
      .def_ro("path", &CheckpointDirectory::ResumePoint::path)
      .def_ro("stage", &CheckpointDirectory::ResumePoint::stage)
      .def_ro("epoch", &CheckpointDirectory::ResumePoint::epoch)
      .def_ro("notes", &CheckpointDirectory::ResumePoint::notes);
}

}  // namespace

void bind_directory(nb::module_& module) {
  bind_plan(module);
  nb::class_<CheckpointDirectory>(module, "CheckpointDirectory")
      .def_static("open", &open)
      .def("plan_epoch",
           [](CheckpointDirectory& directory, const std::string& stage, uint64_t epoch,
              const Metrics& metrics) {
             return value_or_raise(directory.plan_epoch(stage, epoch, metrics));
           })
      .def_prop_ro("run_id", &CheckpointDirectory::run_id)
      .def_prop_ro("has_foreign_run", &CheckpointDirectory::has_foreign_run)
      .def_prop_ro("notes", &CheckpointDirectory::notes)
      .def_prop_ro("path", &CheckpointDirectory::path)
      .def("find_resume_point",
           [](const CheckpointDirectory& directory, const std::string& what) {
             return value_or_raise(directory.find_resume_point(what));
           })
      .def("resumed_from",
           [](CheckpointDirectory& directory, const CheckpointDirectory::ResumePoint& point) {
             raise_if_error(directory.resumed_from(point));
           })
      .def("first_epoch", &CheckpointDirectory::first_epoch)
      .def("mark_stage_ended",
           [](CheckpointDirectory& directory, const std::string& stage) {
             raise_if_error(directory.mark_stage_ended(stage));
           })
      .def("entries", &entries)
      .def("close", [](CheckpointDirectory& directory) { raise_if_error(directory.close()); });
}

}  // namespace tintype::python
