#include <memory>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/command/commands.h"
#include "tools/command/help.h"
#include "tools/command/text.h"
#include "tools/doctor/diagnosis.h"

namespace tintype::command {
namespace {

using doctor::Diagnosis;
using doctor::Finding;
using doctor::Section;
using doctor::Verdict;

constexpr int kJsonVersion = 1;
constexpr int kVerdictWidth = 8;
constexpr int kTopicWidth = 18;

constexpr const char* kDescription =
    "Examples:\n"
    "  tintype doctor                  the machine and the current directory\n"
    "  tintype doctor /data/run7       where the checkpoints go\n"
    "  tintype doctor --json | jq '.sections[].findings[] | select(.verdict != \"found\")'\n"
    "\n"
    "Tries what saving asks of this machine and of a directory, and says what is missing, what\n"
    "that costs and how to fix it. Small files are written there and removed. Exit code 0 where\n"
    "saves work, with or without what is missing.";

struct Options {
  std::string directory = ".";
  bool is_json = false;
};

std::string_view name_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::found: return "found";
    case Verdict::missing: return "missing";
    case Verdict::unusable: return "unusable";
  }
  return "";
}

fmt::text_style style_of(Verdict verdict) {
  switch (verdict) {
    case Verdict::found: return fmt::fg(fmt::terminal_color::green);
    case Verdict::missing: return fmt::fg(fmt::terminal_color::yellow);
    case Verdict::unusable: return fmt::emphasis::bold | fmt::fg(fmt::terminal_color::red);
  }
  return {};
}

nlohmann::ordered_json to_json(const Finding& finding) {
  nlohmann::ordered_json json{{"topic", finding.topic},   {"verdict", name_of(finding.verdict)},
                              {"detail", finding.detail}, {"cost", finding.cost},
                              {"remedy", finding.remedy}, {"errno", nullptr},
                              {"size_bytes", nullptr}};
  if (finding.error_number != 0) json["errno"] = errno_name(finding.error_number);
  if (finding.size_bytes.has_value()) json["size_bytes"] = *finding.size_bytes;
  return json;
}

nlohmann::ordered_json to_json(const Diagnosis& diagnosis) {
  auto sections = nlohmann::ordered_json::array();
  for (const Section& section : diagnosis.sections) {
    auto findings = nlohmann::ordered_json::array();
    for (const Finding& finding : section.findings) findings.push_back(to_json(finding));
    sections.push_back({{"title", section.title}, {"findings", std::move(findings)}});
  }
  return {{"schema", "tintype.doctor"},
          {"version", kJsonVersion},
          {"directory", diagnosis.directory},
          {"usable", diagnosis.directory_status.is_ok()},
          {"sections", std::move(sections)}};
}

void print(Output& output, const Finding& finding) {
  const std::string verdict = fmt::format("{:{}}", name_of(finding.verdict), kVerdictWidth);
  output.print(fmt::format("  {}  {:{}}  {}\n", output.styled(style_of(finding.verdict), verdict),
                           finding.topic, kTopicWidth, printable(finding.detail)));
  const std::string indent(2 + kVerdictWidth + 2, ' ');
  if (!finding.cost.empty()) output.print(fmt::format("{}costs: {}\n", indent, finding.cost));
  if (!finding.remedy.empty()) output.print(fmt::format("{}fix: {}\n", indent, finding.remedy));
}

void print(Output& output, const Diagnosis& diagnosis) {
  for (const Section& section : diagnosis.sections) {
    output.print(output.styled(fmt::emphasis::bold, printable(section.title)) + "\n");
    for (const Finding& finding : section.findings) print(output, finding);
    output.print("\n");
  }
  output.print(fmt::format("Saves to {} {}.\n", printable(diagnosis.directory),
                           diagnosis.directory_status.is_ok() ? "work" : "fail"));
}

ExitCode run(const Options& options, Output& output) {
  const Diagnosis diagnosis = doctor::diagnose(options.directory);
  if (options.is_json) {
    output.print_json(to_json(diagnosis));
  } else {
    print(output, diagnosis);
  }
  return exit_code_for(diagnosis.directory_status);
}

}  // namespace

Command add_doctor(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("doctor", "see what this machine offers to saves");
  app->formatter(std::make_shared<ExamplesFirst>(kDescription));
  auto options = std::make_shared<Options>();
  app->add_option("DIR", options->directory, "directory that checkpoints are to go to")
      ->capture_default_str();
  app->add_flag("--json", options->is_json, "print JSON (docs/command.md)");
  return {app, [options](Output& output) { return run(*options, output); }};
}

}  // namespace tintype::command
