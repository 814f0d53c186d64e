// `tintype compress` and `tintype decompress`.
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/directory/checkpoint_layout.h"
#include "engine/transcode/transcode_file.h"
#include "io/disk/target_path.h"
#include "tools/command/commands.h"
#include "tools/command/help.h"
#include "tools/command/interrupt.h"
#include "tools/command/progress.h"
#include "tools/command/text.h"
#include "tools/command/transcode_names.h"
#include "tools/sizes.h"

namespace tintype::command {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kJsonVersion = 1;

constexpr const char* kCompressDescription =
    "Examples:\n"
    "  tintype compress best.pth                    makes best.pth.ttz (planes: best for large "
    "tensors)\n"
    "  tintype compress --form zstd best.pth        makes best.pth.zst, which `zstd -d` reads too\n"
    "  tintype compress -19 -o small.zst best.pth   a level of zstd's, from 1 to 22\n"
    "  tintype compress --rm old/*.pth              each, and removes what was compressed\n"
    "\n"
    "Compresses checkpoints on several cores, in memory of a fixed size. The bytes come back\n"
    "exactly. A file appears under its name when it is whole and durable; one that stands there\n"
    "is replaced with -f only. The input stays unless --rm is given, which is refused in a run's\n"
    "directory: its index names the files there. `-` is standard input or output.";

constexpr const char* kDecompressDescription =
    "Examples:\n"
    "  tintype decompress best.pth.ttz            makes best.pth\n"
    "  tintype decompress -o - best.pth.zst | sha256sum\n"
    "  curl https://example.org/best.pth.zst | tintype decompress - -o best.pth\n"
    "\n"
    "Gives back the plain file, byte by byte, of either compressed form, and of what zstd itself\n"
    "made. Every checksum is compared: exit code 3 where the file is damaged, and nothing appears\n"
    "then. A file that stands under the name is replaced with -f only. The input stays unless\n"
    "--rm is given, which is refused in a run's directory. `-` is standard input or output.";

bool is_standard(const std::string& name) { return name == kStandardStream; }

// A file's size for the progress; 0 where it is not to be had: then the work itself says why.
uint64_t size_of(const std::string& path) {
  const auto source = resolve_source(posix_file_system(), path);
  if (!source.is_ok()) return 0;
  const auto info = source->directory->info(source->name);
  return info.is_ok() ? info->size_bytes : 0;
}

// Compressed bytes on a terminal, and a prompt that waits for a whole file, help nobody.
Status check_terminals(const TranscodeArguments& arguments, const TranscodeTask& task) {
  if (is_standard(task.input) && ::isatty(STDIN_FILENO) == 1) {
    return Status::invalid_argument("standard input is a terminal", "name a file, or pipe one in");
  }
  if (is_standard(task.output) && !arguments.may_replace && ::isatty(STDOUT_FILENO) == 1) {
    return Status::invalid_argument("standard output is a terminal",
                                    "name a file, or insist by -f");
  }
  return Status::ok();
}

// Who names a pipe can have it by a stream. All other errors are left to the work itself.
Status check_kinds(const TranscodeTask& task) {
  if (!is_standard(task.input)) {
    const Status source = resolve_source(posix_file_system(), task.input).status();
    if (source.code() == StatusCode::unsupported) {
      return source.with_remedy("- reads standard input; else name a regular file");
    }
  }
  if (!is_standard(task.output)) {
    const Status target = resolve_target(posix_file_system(), task.output, true).status();
    if (target.code() == StatusCode::unsupported) {
      return target.with_remedy("-c, or -o -, writes to standard output; else name a regular file");
    }
  }
  return Status::ok();
}

bool removes_input(const TranscodeArguments& arguments, const TranscodeTask& task) {
  return arguments.is_input_removed && !is_standard(task.input) && !is_standard(task.output);
}

// The index of a run names its files: to resume and to `ls`, one under another name is missing.
Status check_removal(const TranscodeTask& task) {
  const auto place = resolve_target(posix_file_system(), task.input, false);
  if (place.status().code() == StatusCode::unsupported) {  // it can be read: a link of /proc's
    return Status::invalid_argument(
        fmt::format("'{}' is not to be removed: it is no name of a file", task.input),
        "leave --rm out");
  }
  if (!place.is_ok()) return Status::ok();  // then the work itself says why
  const auto index = place->directory->info(kIndexName);
  if (index.status().code() == StatusCode::not_found) return Status::ok();
  TINTYPE_RETURN_IF_ERROR(index.status());
  return Status::invalid_argument(
      fmt::format(
          "'{}' is not to be removed: beside it stands '{}', the index of a run, which needs "
          "the files that it names",
          task.input, kIndexName),
      "leave --rm out, or give CheckpointCallback `compression=`");
}

// What stands under the output's name is dealt with by options of ours.
Status with_our_remedy(const Status& status) {
  if (status.code() != StatusCode::already_exists) return status;
  return status.with_remedy("-f replaces it, -o FILE names another");
}

struct Done {
  FileTranscoded result;
  double seconds = 0;
};

Result<Done> carry_out(const TranscodeArguments& arguments, const TranscodeTask& task,
                       Output& output) {
  TINTYPE_RETURN_IF_ERROR(check_terminals(arguments, task));
  TINTYPE_RETURN_IF_ERROR(check_kinds(task));
  if (removes_input(arguments, task)) TINTYPE_RETURN_IF_ERROR(check_removal(task));
  DescriptorInput from_stdin(STDIN_FILENO, "standard input", InterruptWatch::has_come);
  DescriptorOutput to_stdout(STDOUT_FILENO, "standard output", InterruptWatch::has_come);
  TranscodeInput input{.path = task.input, .is_removed = removes_input(arguments, task)};
  if (is_standard(task.input)) input = {.path = "standard input", .stream = &from_stdin};
  TranscodeOutput target{.path = task.output, .may_replace = arguments.may_replace};
  if (is_standard(task.output)) target.stream = &to_stdout;
  Progress progress(output, printable(input.path),
                    input.stream != nullptr ? 0 : size_of(task.input));
  TranscodeMeter meter;
  TranscodeOptions options{.thread_count = arguments.thread_count, .meter = &meter};
  options.is_interrupted = [&] {
    if (!arguments.is_quiet) progress.show(meter.input_bytes);
    return InterruptWatch::has_come();
  };
  CompressOptions compress_options;
  compress_options.encoder.form = task.form;
  if (arguments.level != 0) compress_options.encoder.zstd_level = arguments.level;
  auto result = arguments.is_compressing
                    ? compress_file(posix_file_system(), input, target, compress_options, options)
                    : decompress_file(posix_file_system(), input, target, options);
  if (!result.is_ok()) return with_our_remedy(result.status());
  return Done{std::move(*result), progress.seconds()};
}

void print(Output& output, const TranscodeArguments& arguments, const TranscodeTask& task,
           const Done& done) {
  for (const std::string& note : done.result.notes) {
    output.print_error(fmt::format("note: {}", printable(note)));
  }
  if (arguments.is_quiet || arguments.is_json || has_data_on_stdout(arguments)) return;
  const Transcoded& total = done.result.total;
  const uint64_t plain = arguments.is_compressing ? total.input_bytes : total.output_bytes;
  const uint64_t packed = arguments.is_compressing ? total.output_bytes : total.input_bytes;
  output.print(fmt::format(
      "{}: {} from {} (ratio {:.3f}), {:.1f} s\n", printable(task.output),
      format_size(total.output_bytes), format_size(total.input_bytes),
      packed == 0 ? 1.0 : static_cast<double>(plain) / static_cast<double>(packed), done.seconds));
}

Json to_json(const TranscodeArguments& arguments, const std::string& input,
             const Result<TranscodeTask>& task, const Result<Done>& done) {
  Json json{{"input", input},         {"output", nullptr},       {"form", nullptr},
            {"input_bytes", nullptr}, {"output_bytes", nullptr}, {"seconds", nullptr},
            {"notes", Json::array()}, {"error", nullptr}};
  if (task.is_ok()) json["output"] = task->output;
  if (task.is_ok() && arguments.is_compressing) json["form"] = to_string(task->form);
  if (done.is_ok()) {
    json["input_bytes"] = done->result.total.input_bytes;
    json["output_bytes"] = done->result.total.output_bytes;
    json["seconds"] = done->seconds;
    json["notes"] = done->result.notes;
    return json;
  }
  const Status& status = done.status();
  json["error"] = {
      {"code", to_string(status.code())},
      {"errno", status.error_number() == 0 ? Json() : Json(errno_name(status.error_number()))},
      {"message", status.to_string()}};
  return json;
}

// A reader of our standard output that has gone away has all that it wanted.
bool is_reader_gone(const TranscodeTask& task, const Status& status) {
  return is_standard(task.output) && status.error_number() == EPIPE;
}

// The inputs of one call, one after the other.
class Batch {
 public:
  Batch(const TranscodeArguments& arguments, Output& output)
      : arguments_(arguments), output_(output) {}

  ExitCode run() {
    const InterruptWatch watch;
    ExitCode code = ExitCode::ok;
    for (const std::string& input : arguments_.inputs) {
      if (InterruptWatch::has_come()) break;
      code = worse_of(code, run_one(input));
    }
    if (InterruptWatch::has_come()) output_.print_error(interruption_text());
    if (arguments_.is_json) print_json(code);
    return code;
  }

 private:
  ExitCode run_one(const std::string& input) {
    const Result<TranscodeTask> task = task_for(arguments_, input);
    Result<Done> done =
        task.is_ok() ? carry_out(arguments_, *task, output_) : Result<Done>(task.status());
    if (task.is_ok() && is_reader_gone(*task, done.status())) return ExitCode::ok;
    if (done.is_ok()) ++written_count_;
    if (task.is_ok() && is_standard(task->output)) has_streamed_ = true;
    if (done.is_ok() && !done->result.removal.is_ok()) done = done->result.removal;
    files_.push_back(to_json(arguments_, input, task, done));
    if (done.is_ok()) {
      print(output_, arguments_, *task, *done);
    } else if (!was_interrupted(done.status())) {
      output_.print_error(done.status());
    }
    return exit_code_for(done.status());
  }

  // The work says `interrupted`, the commit `cancelled`; a failure of its own is told as one.
  static bool was_interrupted(const Status& status) {
    return InterruptWatch::has_come() &&
           (status.code() == StatusCode::interrupted || status.code() == StatusCode::cancelled);
  }

  std::string interruption_text() const {
    const size_t count = arguments_.inputs.size();
    if (written_count_ == count) return "interrupted when all was done";
    if (has_streamed_) return "interrupted; what standard output got is not whole";
    if (written_count_ == 0) return "interrupted; nothing was changed";
    return fmt::format("interrupted; {} of {} outputs are written, nothing else was changed",
                       written_count_, count);
  }

  void print_json(ExitCode code) {
    output_.print_json(
        {{"schema", arguments_.is_compressing ? "tintype.compress" : "tintype.decompress"},
         {"version", kJsonVersion},
         {"ok", code == ExitCode::ok && files_.size() == arguments_.inputs.size()},
         {"files", std::move(files_)}});
  }

  const TranscodeArguments& arguments_;
  Output& output_;
  Json files_ = Json::array();
  size_t written_count_ = 0;  // outputs that are whole
  bool has_streamed_ = false;
};

ExitCode run(const TranscodeArguments& arguments, Output& output) {
  const Status sensible = check(arguments);
  if (!sensible.is_ok()) {
    output.print_error(sensible);
    return exit_code_for(sensible);
  }
  return Batch(arguments, output).run();
}

void add_common(CLI::App& app, TranscodeArguments& arguments) {
  app.add_option("FILE", arguments.inputs, "files; - is standard input")->required();
  app.add_option("-o,--output", arguments.output, "where to; - is standard output")
      ->type_name("FILE")
      ->check([](const std::string& name) {
        return std::string(name.empty() ? "the name of the output is empty" : "");
      });
  app.add_flag("-c,--stdout", arguments.is_to_stdout, "write to standard output");
  app.add_flag("-f,--force", arguments.may_replace, "replace a file that stands there");
  app.add_flag("--rm", arguments.is_input_removed, "remove each input once its output is durable");
  app.add_flag_callback(
      "-k,--keep", [&arguments] { arguments.is_input_removed = false; },
      "keep the inputs, as is done anyway");
  add_threads(app, arguments.thread_count,
              "how many threads code at most; 0: one for each processor, up to 8");
  app.add_flag("-q,--quiet", arguments.is_quiet, "say nothing of what went well");
  app.add_flag("--json", arguments.is_json, "print JSON (docs/command.md)");
}

Command add(CLI::App& parent, bool is_compressing, const char* name, const char* summary,
            const char* description) {
  CLI::App* app = parent.add_subcommand(name, summary);
  app->formatter(std::make_shared<ExamplesFirst>(description));
  auto arguments = std::make_shared<TranscodeArguments>();
  arguments->is_compressing = is_compressing;
  add_common(*app, *arguments);
  if (is_compressing) {
    app->add_option("--form", arguments->form, "planes or zstd; else by the output's name")
        ->type_name("FORM")
        ->check(CLI::IsMember({"planes", "zstd"}));
    app->add_option("-l,--level", arguments->level, "of zstd, 1 to 22; -19 is short for -l 19")
        ->type_name("N")
        ->check(CLI::Range(1, 22));
  }
  return {app, [arguments](Output& output) { return run(*arguments, output); }};
}

}  // namespace

Command add_compress(CLI::App& parent) {
  return add(parent, true, "compress", "compress checkpoints", kCompressDescription);
}

Command add_decompress(CLI::App& parent) {
  return add(parent, false, "decompress", "get plain checkpoints back", kDecompressDescription);
}

}  // namespace tintype::command
