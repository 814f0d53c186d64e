#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "tools/command/commands.h"
#include "tools/command/help.h"
#include "tools/command/interrupt.h"
#include "tools/command/text.h"
#include "tools/self_test/self_test.h"
#include "tools/sizes.h"

namespace tintype::command {
namespace {

using Json = nlohmann::ordered_json;
using self_test::Report;
using self_test::Row;

constexpr int kJsonVersion = 1;
constexpr uint64_t kMib = uint64_t{1} << 20;

constexpr const char* kDescription =
    "Examples:\n"
    "  tintype bench                    the current directory, 256 MiB\n"
    "  tintype bench -s 2048 /data      a state of 2 GiB\n"
    "\n"
    "Saves random bytes by the engine and, in turns, by buffered writes with fdatasync and "
    "rename,\n"
    "and prints the medians, and the median and range of their ratio in each round. `durable` is\n"
    "until a power cut loses nothing; `caller held` is how long save_async keeps the training\n"
    "loop, beside a plain save, which keeps it to the end. Needs four times the size on the\n"
    "disk and about twice in memory for a while, says so first where they are not there, and\n"
    "removes what it wrote. `make bench` of the source measures more.";

struct Options {
  std::string directory = ".";
  uint64_t size_mib = 256;
  uint32_t round_count = 5;
  bool is_json = false;
};

std::string time_text(double seconds) {
  return seconds < 1 ? fmt::format("{:.1f} ms", 1000 * seconds) : fmt::format("{:.2f} s", seconds);
}

std::string rate_text(const Row& row, double seconds) {
  return fmt::format("{} ({:.2f} GB/s)", time_text(seconds),
                     static_cast<double>(row.size_bytes) / seconds / 1e9);
}

void print(Output& output, const Report& report, const Options& options) {
  Table table({Align::left, Align::right, Align::right, Align::left});
  table.add({"SAVE", "MEDIAN ENGINE", "MEDIAN PLAIN", "MEDIAN OF PLAIN ÷ ENGINE (RANGE)"});
  for (const Row& row : report.rows) {
    const std::vector<double> ratios = self_test::ratios(row);
    table.add({fmt::format("{}, {}", format_size(row.size_bytes), row.name),
               rate_text(row, self_test::median(row.engine_seconds)),
               rate_text(row, self_test::median(row.plain_seconds)),
               fmt::format("{:.2f} ({:.2f} to {:.2f})", self_test::median(ratios), ratios.front(),
                           ratios.back())});
  }
  output.print(table.text());
  output.print(fmt::format("\n{}: engine by {}; {} {}, in turns\n", printable(report.directory),
                           report.backend, options.round_count,
                           options.round_count == 1 ? "round" : "rounds"));
}

void print_json(Output& output, const Report& report) {
  Json rows = Json::array();
  for (const Row& row : report.rows) {
    const std::vector<double> ratios = self_test::ratios(row);
    rows.push_back({{"name", row.name},
                    {"size_bytes", row.size_bytes},
                    {"engine_seconds", row.engine_seconds},
                    {"plain_seconds", row.plain_seconds},
                    {"ratio", self_test::median(ratios)},
                    {"ratio_min", ratios.front()},
                    {"ratio_max", ratios.back()}});
  }
  output.print_json({{"schema", "tintype.bench"},
                     {"version", kJsonVersion},
                     {"directory", report.directory},
                     {"backend", report.backend},
                     {"rows", std::move(rows)}});
}

ExitCode run(const Options& options, Output& output) {
  const InterruptWatch watch;
  self_test::Options test{.directory = options.directory,
                          .size_bytes = options.size_mib * kMib,
                          .round_count = options.round_count};
  test.on_round = [&](uint32_t round, uint32_t count) {
    output.show_progress(fmt::format("round {} of {}", round + 1, count));
    return InterruptWatch::has_come();
  };
  const Result<Report> report = self_test::run(test);
  if (!report.is_ok()) {
    output.print_error(report.status());
    if (report.status().code() == StatusCode::resource_exhausted) {
      output.print_error("a smaller state needs less of all: -s N");
    }
    return exit_code_for(report.status());
  }
  if (options.is_json) {
    print_json(output, *report);
  } else {
    print(output, *report, options);
  }
  return ExitCode::ok;
}

}  // namespace

Command add_bench(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("bench", "measure saves to a directory");
  app->formatter(std::make_shared<ExamplesFirst>(kDescription));
  auto options = std::make_shared<Options>();
  app->add_option("DIR", options->directory, "directory that checkpoints are to go to")
      ->capture_default_str();
  app->add_option("-s,--size", options->size_mib, "of the state, in MiB")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1u << 20));
  app->add_option("-r,--rounds", options->round_count, "how often each is measured")
      ->type_name("N")
      ->capture_default_str()
      ->check(CLI::Range(1u, 1000u));
  app->add_flag("--json", options->is_json, "print JSON (docs/command.md)");
  return {app, [options](Output& output) { return run(*options, output); }};
}

}  // namespace tintype::command
