#include "engine/restore/verify.h"

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/command/commands.h"
#include "tools/command/file_names.h"
#include "tools/command/help.h"
#include "tools/command/text.h"
#include "tools/sizes.h"

namespace tintype::command {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kJsonVersion = 1;
constexpr size_t kTensorsShown = 8;

constexpr const char* kDescription =
    "Examples:\n"
    "  tintype verify best.pth                 check one file\n"
    "  tintype verify -q checkpoints/*.pth     say only what is wrong with several\n"
    "  tintype verify --json best.pth | jq '.files[].problems[].tensors[]'\n"
    "\n"
    "Checks every byte of checkpoints of torch.save or Tintype against their CRC-32, on all\n"
    "cores, and says which record is damaged and which tensors that costs. Nothing in the files\n"
    "is executed. Exit code 3 where one is damaged.";

struct Options {
  std::vector<std::string> paths;
  uint32_t thread_count = 0;
  bool is_quiet = false;
  bool is_json = false;
};

using Outcome = Result<VerifyReport>;

ExitCode exit_code_of(const Outcome& outcome) {
  if (!outcome.is_ok()) return exit_code_for(outcome.status());
  return outcome->is_ok() ? ExitCode::ok : ExitCode::corrupt_or_different;
}

std::string tensors_text(const std::vector<std::string>& tensors) {
  const size_t shown_count = std::min(tensors.size(), kTensorsShown);
  std::string text;
  for (size_t i = 0; i < shown_count; ++i) {
    text += fmt::format("{}{}", i == 0 ? "" : ", ",
                        tensors[i].empty() ? "the file's only tensor" : printable(tensors[i]));
  }
  if (tensors.size() > shown_count) {
    text += fmt::format(" and {} more (--json lists all)", tensors.size() - shown_count);
  }
  return text;
}

std::string text_of(const VerifyProblem& problem) {
  std::string what = problem.record.empty() ? "structure" : printable(problem.record);
  if (problem.extent.has_value()) what = fmt::format("extent {}", *problem.extent);
  std::string text =
      fmt::format("  {} at {:#x}: {}\n", what, problem.offset, printable(problem.text));
  if (!problem.tensors.empty()) {
    text += fmt::format("    lost: {}\n", tensors_text(problem.tensors));
  }
  return text;
}

void print(Output& output, const VerifyReport& report, const Options& options) {
  if (report.is_ok() && options.is_quiet) return;
  const std::string path = printable(report.path);
  if (report.is_ok()) {
    output.print(fmt::format("{}: {}, {} records, {}\n", path,
                             output.styled(fmt::fg(fmt::terminal_color::green), "sound"),
                             grouped(report.record_count), format_size(report.file_bytes)));
  } else {
    const auto style = fmt::emphasis::bold | fmt::fg(fmt::terminal_color::red);
    output.print(fmt::format("{}: {}\n", path, output.styled(style, "DAMAGED")));
  }
  for (const VerifyProblem& problem : report.problems) output.print(text_of(problem));
  if (options.is_quiet) return;
  const std::string remedy(report.status().remedy());
  if (!remedy.empty()) output.print(fmt::format("  remedy: {}\n", remedy));
  for (const std::string& note : report.notes) {
    output.print(fmt::format("  note: {}\n", printable(note)));
  }
}

Json to_json(const VerifyProblem& problem) {
  return {{"record", problem.record.empty() ? Json() : Json(problem.record)},
          {"extent", problem.extent.has_value() ? Json(*problem.extent) : Json()},
          {"offset", problem.offset},
          {"text", problem.text},
          {"remedy", problem.remedy},
          {"tensors", problem.tensors}};
}

Json to_json(const VerifyReport& report) {
  Json problems = Json::array();
  for (const VerifyProblem& problem : report.problems) problems.push_back(to_json(problem));
  return {{"path", report.path},
          {"verdict", report.is_ok() ? "sound" : "damaged"},
          {"form", to_string(report.form)},
          {"size_bytes", report.file_bytes},
          {"plain_bytes", report.size_bytes},
          {"extent_count", report.extent_count},
          {"record_count", report.record_count},
          {"checked_bytes", report.checked_bytes},
          {"problems", std::move(problems)},
          {"notes", report.notes}};
}

Json to_json(const std::string& path, const Outcome& outcome) {
  if (outcome.is_ok()) return to_json(*outcome);
  const Status& status = outcome.status();
  const int error_number = status.error_number();
  return {{"path", path},
          {"verdict", "unknown"},
          {"error",
           {{"code", to_string(status.code())},
            {"errno", error_number == 0 ? Json() : Json(errno_name(error_number))},
            {"message", status.to_string()}}}};
}

Outcome judge(const std::string& path, const VerifyOptions& options) {
  TINTYPE_ASSIGN_OR_RETURN(VerifyReport report, verify(posix_file_system(), path, options));
  report.path = path;  // as it was given, like everywhere in the output
  return report;
}

ExitCode run(const Options& options, Output& output) {
  ExitCode code = ExitCode::ok;
  Json files = Json::array();
  VerifyOptions verify_options;
  verify_options.reading.thread_count = options.thread_count;
  for (size_t i = 0; i < options.paths.size(); ++i) {
    const std::string& path = options.paths[i];
    output.show_progress(
        fmt::format("verifying {} of {}: {}", i + 1, options.paths.size(), printable(path)));
    Outcome outcome = judge(path, verify_options);
    code = worse_of(code, exit_code_of(outcome));
    if (!outcome.is_ok()) output.print_error(outcome.status());
    if (options.is_json) {
      files.push_back(to_json(path, outcome));
    } else if (outcome.is_ok()) {
      print(output, *outcome, options);
    }
  }
  if (options.is_json) {
    output.print_json({{"schema", "tintype.verify"},
                       {"version", kJsonVersion},
                       {"ok", code == ExitCode::ok},
                       {"files", std::move(files)}});
  }
  return code;
}

}  // namespace

Command add_verify(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("verify", "check every byte of checkpoints");
  app->formatter(std::make_shared<ExamplesFirst>(kDescription));
  auto options = std::make_shared<Options>();
  app->add_option("FILE", options->paths, "checkpoints")->required()->check(refuse_stream);
  app->add_flag("-q,--quiet", options->is_quiet, "say nothing of sound files");
  add_threads(*app, options->thread_count, "how many threads read; 0: as many as pay");
  app->add_flag("--json", options->is_json, "print JSON (docs/command.md)");
  return {app, [options](Output& output) { return run(*options, output); }};
}

}  // namespace tintype::command
