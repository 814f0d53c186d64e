#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/directory/listing.h"
#include "tools/command/commands.h"
#include "tools/command/help.h"
#include "tools/command/text.h"
#include "tools/sizes.h"

namespace tintype::command {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kJsonVersion = 1;

constexpr const char* kDescription =
    "Examples:\n"
    "  tintype clean --dry-run logs/run1   show what dead writers left\n"
    "  tintype clean logs/run1             remove it\n"
    "\n"
    "Removes the temporary files of writers that were killed, from the directory and from its\n"
    "checkpoints/: what the next save there would remove. Files of living writers, of other\n"
    "programs and of other machines (until they are a day old) stay, and so do checkpoints. Exit\n"
    "code 6 where a run is using the directory.";

struct Options {
  std::string logdir;
  bool is_dry_run = false;
  bool is_json = false;
};

void print(Output& output, const std::vector<CleanedFolder>& folders, const Options& options) {
  uint64_t total_bytes = 0;
  size_t count = 0;
  for (const CleanedFolder& folder : folders) {
    for (const Orphan& orphan : folder.orphans) {
      output.print(fmt::format("{} {}/{} ({})\n", options.is_dry_run ? "would remove" : "removed",
                               printable(folder.path), printable(orphan.name),
                               format_size(orphan.size_bytes)));
      total_bytes += orphan.size_bytes;
      ++count;
    }
  }
  output.print(count == 0 ? "nothing to remove\n"
                          : fmt::format("{} files, {}\n", count, format_size(total_bytes)));
}

void print_json(Output& output, const std::vector<CleanedFolder>& folders, const Options& options) {
  Json removed = Json::array();
  for (const CleanedFolder& folder : folders) {
    for (const Orphan& orphan : folder.orphans) {
      removed.push_back(
          {{"path", folder.path + "/" + orphan.name}, {"size_bytes", orphan.size_bytes}});
    }
  }
  output.print_json({{"schema", "tintype.clean"},
                     {"version", kJsonVersion},
                     {"dry_run", options.is_dry_run},
                     {"removed", std::move(removed)}});
}

ExitCode run(const Options& options, Output& output) {
  const auto folders = clean_directory(posix_file_system(), options.logdir, options.is_dry_run);
  if (!folders.is_ok()) {
    output.print_error(folders.status());
    return exit_code_for(folders.status());
  }
  if (options.is_json) {
    print_json(output, *folders, options);
  } else {
    print(output, *folders, options);
  }
  return ExitCode::ok;
}

}  // namespace

Command add_clean(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("clean", "remove what killed writers left");
  app->formatter(std::make_shared<ExamplesFirst>(kDescription));
  auto options = std::make_shared<Options>();
  app->add_option("LOGDIR", options->logdir, "folder of the run, or any that was saved to")
      ->required();
  app->add_flag("-n,--dry-run", options->is_dry_run, "only show what would be removed");
  app->add_flag("--json", options->is_json, "print JSON (docs/command.md)");
  return {app, [options](Output& output) { return run(*options, output); }};
}

}  // namespace tintype::command
