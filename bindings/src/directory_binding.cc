#include "bindings/src/directory_binding.h"

#include <cerrno>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include "bindings/src/raise.h"
#include "bindings/src/request.h"
#include "bindings/src/without_gil.h"
#include "engine/directory/checkpoint_directory.h"
#include "engine/directory/checkpoint_layout.h"
#include "io/disk/links.h"

namespace nb = nanobind;

namespace tintype::python {
namespace {

bool is_instance(const nb::handle& value, const char* module, const char* type) {
  return nb::isinstance(value, nb::module_::import_(module).attr(type));
}

// A file that cannot be read just now (no memory, no descriptors, no permission) is not damaged:
// its checkpoint must not be given up for it.
Status as_status(const nb::handle& exception, const std::string& path) {
  const bool is_ours = is_instance(exception, "tintype", "TintypeError");
  const auto own_text = nb::cast<std::string>(is_ours ? nb::object(exception.attr("message"))
                                                      : nb::object(nb::str(exception)));
  const auto remedy = is_ours ? nb::cast<std::string>(exception.attr("remedy")) : std::string();
  const bool is_named = own_text.find(path) != std::string::npos;
  const std::string text = is_named ? own_text : path + ": " + own_text;
  if (is_instance(exception, "builtins", "MemoryError")) {
    return Status(StatusCode::resource_exhausted, "no memory to read " + path, ENOMEM);
  }
  if (is_instance(exception, "builtins", "OSError")) {
    const nb::object number = exception.attr("errno");
    const int error_number = nb::isinstance<nb::int_>(number) ? nb::cast<int>(number) : EIO;
    const Status status = errno_status(error_number, "read", path);
    if (!is_ours) return status;
    return Status(status.code(), own_text, error_number).with_path(path).with_remedy(remedy);
  }
  const nb::object type = nb::getattr(exception, "__class__");
  if (type.is(nb::module_::import_("builtins").attr("ValueError"))) {
    return Status::invalid_argument(text);
  }
  const Status damage = Status::corruption(text);
  return is_ours ? damage.with_remedy(remedy) : damage;
}

// Calls back into Python; what it raises becomes a status that carries the exception's text.
template <typename Call>
Status call_python(const std::string& path, Call call) {
  try {
    call();
    return Status::ok();
  } catch (nb::python_error& error) {
    // A Ctrl-C must not be mistaken for a damaged file.
    if (!error.matches(PyExc_Exception)) throw;
    return as_status(error.value(), path);
  } catch (const std::exception& error) {
    return Status::corruption(path + ": " + error.what());
  }
}

// For what writes: other Python threads run meanwhile.
template <typename Call>
void call_without_gil(Call call) {
  raise_if_error(without_gil(call));
}

Result<FullFileFacts> read_facts(const nb::callable& read, const std::string& path) {
  FullFileFacts facts;
  const Status status = call_python(path, [&] {
    nb::tuple found = nb::cast<nb::tuple>(read(path));
    facts.run_id = nb::cast<std::string>(found[0]);
    facts.stage = nb::cast<std::string>(found[1]);
    facts.epoch = nb::cast<uint64_t>(found[2]);
    facts.metrics = nb::cast<Metrics>(found[3]);
  });
  if (!status.is_ok()) return status;
  return facts;
}

using Form = std::pair<std::string, bool>;  // its name, and whether it is adaptive
// Of a file, of a file, and of a full file and the light one's path.
using Callbacks = std::tuple<nb::callable, nb::callable, nb::callable>;

std::unique_ptr<CheckpointDirectory> open(const std::string& logdir, uint32_t save_n_best,
                                          const std::string& main_metric, bool is_minimized,
                                          const std::string& metrics_filename, bool is_resumed,
                                          const Form& form, const Callbacks& callbacks) {
  const PythonCall active;
  CheckpointDirectoryOptions options;
  options.logdir = logdir;
  options.save_n_best = save_n_best;
  options.main_metric = main_metric;
  options.is_metric_minimized = is_minimized;
  options.metrics_filename = metrics_filename;
  options.is_resumed = is_resumed;
  options.form = {.form = form_named(form.first), .is_adaptive = form.second};
  const auto& [facts, check, make_light] = callbacks;
  // They run on the thread that calls open() or find_resume_point(), which holds the GIL.
  options.read_facts = [facts = facts](const std::string& path) { return read_facts(facts, path); };
  options.check_file = [check = check](const std::string& path) {
    return call_python(path, [&] { check(path); });
  };
  options.make_light = [make_light = make_light](const std::string& full,
                                                 const std::string& light) {
    return call_python(light, [&] { make_light(full, light); });
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

// Makes each of `link_names` in the folder the same file as `existing`, durably.
Status link_files(const std::string& folder, const std::string& existing,
                  const std::vector<std::string>& link_names) {
  if (link_names.empty()) return Status::ok();
  TINTYPE_ASSIGN_OR_RETURN(const std::unique_ptr<Directory> directory,
                           posix_file_system().open_directory(folder));
  for (const std::string& name : link_names) {
    TINTYPE_RETURN_IF_ERROR(move_link(*directory, existing, name));
  }
  return directory->sync();
}

}  // namespace

void bind_directory(nb::module_& module) {
  bind_plan(module);
  module.def("check_stage_name",
             [](const std::string& stage) { raise_if_error(check_stage_name(stage)); });
  module.def("link_files", [](const std::string& folder, const std::string& existing,
                              const std::vector<std::string>& link_names) {
    call_without_gil([&] { return link_files(folder, existing, link_names); });
  });
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
             const PythonCall active;
             return value_or_raise(directory.find_resume_point(what));
           })
      .def("resumed_from",
           [](CheckpointDirectory& directory, const CheckpointDirectory::ResumePoint& point) {
             call_without_gil([&] { return directory.resumed_from(point); });
           })
      .def("first_epoch", &CheckpointDirectory::first_epoch)
      .def("mark_stage_ended",
           [](CheckpointDirectory& directory, const std::string& stage) {
             call_without_gil([&] { return directory.mark_stage_ended(stage); });
           })
      .def("entries", &entries)
      .def("close", [](CheckpointDirectory& directory) { raise_if_error(directory.close()); });
}

}  // namespace tintype::python
