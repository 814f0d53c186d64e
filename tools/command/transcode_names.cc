#include "tools/command/transcode_names.h"

#include <algorithm>

#include <fmt/format.h>

namespace tintype::command {
namespace {

bool is_standard(const std::string& name) { return name == kStandardStream; }

// A stream cannot be looked through for its tensors, without which planes gain little.
FileForm form_for(const TranscodeArguments& arguments, const std::string& input) {
  if (!arguments.form.empty()) {
    return arguments.form == to_string(FileForm::zstd) ? FileForm::zstd : FileForm::planes;
  }
  const FileForm named = form_of_name(arguments.output);
  if (named != FileForm::plain) return named;
  return is_standard(input) || arguments.level != 0 ? FileForm::zstd : FileForm::planes;
}

Status wrong_name(const std::string& name, std::string_view wanted) {
  return Status::invalid_argument(fmt::format(
      "'{}' is no name for {}: names tell the forms of checkpoints apart", name, wanted));
}

Result<TranscodeTask> compression_of(const TranscodeArguments& arguments,
                                     const std::string& input) {
  TranscodeTask task{
      .input = input, .output = arguments.output, .form = form_for(arguments, input)};
  if (!is_standard(input) && form_of_name(input) != FileForm::plain) {
    return Status::invalid_argument(fmt::format("'{}' is compressed already, by its name", input),
                                    "decompress it first");
  }
  if (arguments.level != 0 && task.form != FileForm::zstd) {
    return Status::invalid_argument("levels are of the zstd form: --form zstd, or a name in .zst");
  }
  if (task.output.empty()) {
    task.output = input + std::string(suffix_of(task.form));
  } else if (!is_standard(task.output) && form_of_name(task.output) != task.form) {
    return wrong_name(task.output, fmt::format("the {} form, which ends in {}",
                                               to_string(task.form), suffix_of(task.form)));
  }
  return task;
}

Result<TranscodeTask> decompression_of(const TranscodeArguments& arguments,
                                       const std::string& input) {
  TranscodeTask task{.input = input, .output = arguments.output};
  if (task.output.empty()) {
    const FileForm form = form_of_name(input);
    if (form == FileForm::plain) {
      return Status::invalid_argument(fmt::format("'{}' ends in neither .zst nor .ttz", input),
                                      "name the output: -o FILE");
    }
    task.output = input.substr(0, input.size() - suffix_of(form).size());
  }
  if (!is_standard(task.output) && form_of_name(task.output) != FileForm::plain) {
    return wrong_name(task.output, "a plain file");
  }
  return task;
}

}  // namespace

bool has_data_on_stdout(const TranscodeArguments& arguments) {
  if (!arguments.output.empty()) return arguments.is_to_stdout || is_standard(arguments.output);
  return arguments.is_to_stdout ||
         std::any_of(arguments.inputs.begin(), arguments.inputs.end(), is_standard);
}

Status check(const TranscodeArguments& arguments) {
  if (arguments.inputs.size() > 1 && !arguments.output.empty()) {
    return Status::invalid_argument("one output cannot take several inputs", "leave -o out");
  }
  if (arguments.is_to_stdout && !arguments.output.empty() && !is_standard(arguments.output)) {
    return Status::invalid_argument("-c and -o name two outputs");
  }
  const auto is_planes = [&](const std::string& input) {
    return form_for(arguments, input) == FileForm::planes;
  };
  if (arguments.is_compressing && arguments.is_to_stdout && arguments.inputs.size() > 1 &&
      std::any_of(arguments.inputs.begin(), arguments.inputs.end(), is_planes)) {
    return Status::invalid_argument("one output cannot take several files of the planes form",
                                    "name the other form: --form zstd");
  }
  if (std::any_of(arguments.inputs.begin(), arguments.inputs.end(),
                  [](const std::string& input) { return input.empty(); })) {
    return Status::invalid_argument("the name of an input is empty");
  }
  if (arguments.is_json && has_data_on_stdout(arguments)) {
    return Status::invalid_argument("JSON and data cannot share standard output", "name a file");
  }
  return Status::ok();
}

Result<TranscodeTask> task_for(const TranscodeArguments& arguments, const std::string& input) {
  TranscodeArguments settled = arguments;
  const bool is_stdout = arguments.is_to_stdout || (is_standard(input) && arguments.output.empty());
  if (is_stdout) settled.output = kStandardStream;
  return arguments.is_compressing ? compression_of(settled, input)
                                  : decompression_of(settled, input);
}

}  // namespace tintype::command
