#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/directory/listing.h"
#include "tools/command/commands.h"
#include "tools/command/help.h"
#include "tools/command/json_number.h"
#include "tools/command/text.h"
#include "tools/sizes.h"

namespace tintype::command {
namespace {

using Json = nlohmann::ordered_json;
using Standing = ListedCheckpoint::Standing;

constexpr int kJsonVersion = 1;

constexpr const char* kDescription =
    "Examples:\n"
    "  tintype ls logs/run1            epochs, their files, what best and last show\n"
    "  tintype ls --json logs/run1 | jq -r '.checkpoints[] | select(.best) | .full.name'\n"
    "\n"
    "Lists the checkpoints of a run, best first: sizes, the main metric, and whether each file is\n"
    "whole at its end and the one that was saved (`tintype verify` reads all of it). Changes\n"
    "nothing, and may be used while the run goes on. Exit code 3 where a checkpoint of the index\n"
    "is missing or damaged.";

struct Options {
  std::string logdir;
  bool is_json = false;
};

std::string_view name_of(Standing standing) {
  switch (standing) {
    case Standing::kept: return "kept";
    case Standing::linked: return "linked";
    case Standing::losing: return "losing";
    case Standing::unindexed: return "unindexed";
  }
  return "";
}

// In one word, what a reader has to know of it.
std::string_view state_of(const ListedCheckpoint& checkpoint) {
  const auto is_missing = [](const std::optional<ListedFile>& file) {
    return file.has_value() && file->status.code() == StatusCode::not_found;
  };
  if (is_missing(checkpoint.full) || is_missing(checkpoint.light)) return "missing";
  return checkpoint.is_sound() ? "sound" : "damaged";
}

bool is_trouble(const ListedCheckpoint& checkpoint) {
  return checkpoint.standing != Standing::unindexed && !checkpoint.is_sound();
}

std::string links_text(const ListedCheckpoint& checkpoint) {
  if (checkpoint.is_best && checkpoint.is_last) return "best, last";
  return checkpoint.is_best ? "best" : checkpoint.is_last ? "last" : "";
}

std::string state_text(const Output& output, const ListedCheckpoint& checkpoint) {
  std::string text(state_of(checkpoint));
  const auto colour = checkpoint.is_sound() ? fmt::terminal_color::green : fmt::terminal_color::red;
  text = output.styled(fmt::fg(colour), text);
  if (checkpoint.standing == Standing::losing) text += ", to be deleted";
  if (checkpoint.standing == Standing::unindexed) text += ", not in the index";
  return text;
}

std::string size_text(const std::optional<ListedFile>& file) {
  return file.has_value() && file->status.code() != StatusCode::not_found
             ? format_size(file->size_bytes)
             : "-";
}

std::string score_text(const ListedCheckpoint& checkpoint) {
  return checkpoint.entry.has_value() ? fmt::format("{:.6g}", checkpoint.entry->score) : "";
}

void print_table(Output& output, const DirectoryListing& listing) {
  // The state comes last: colour would count as width.
  Table table({Align::left, Align::right, Align::right, Align::right, Align::left, Align::left});
  const std::string metric =
      listing.index.has_value() ? printable(listing.index->main_metric) : "METRIC";
  table.add({"CHECKPOINT", metric, "FULL", "LIGHT", "LINKS", "STATE"});
  for (const ListedCheckpoint& checkpoint : listing.checkpoints) {
    table.add({printable(checkpoint.name), score_text(checkpoint), size_text(checkpoint.full),
               size_text(checkpoint.light), links_text(checkpoint),
               state_text(output, checkpoint)});
  }
  output.print(table.text());
}

void print_problem(Output& output, const std::optional<ListedFile>& file) {
  if (!file.has_value() || file->status.is_ok()) return;
  output.print(
      fmt::format("  {}: {}\n", printable(file->name), printable(file->status.to_string())));
}

void print(Output& output, const DirectoryListing& listing) {
  if (!listing.checkpoints.empty()) print_table(output, listing);
  for (const ListedCheckpoint& checkpoint : listing.checkpoints) {
    print_problem(output, checkpoint.full);
    print_problem(output, checkpoint.light);
  }
  for (const std::string& note : listing.notes) {
    output.print(fmt::format("  note: {}\n", printable(note)));
  }
  const bool is_anything_above = !listing.checkpoints.empty() || !listing.notes.empty();
  output.print(fmt::format("{}{}: {} checkpoints, {} on the disk\n", is_anything_above ? "\n" : "",
                           printable(listing.path), listing.checkpoints.size(),
                           format_size(listing.disk_bytes)));
  if (!listing.index.has_value()) {
    output.print("There is no index of Tintype's here: metrics and ranks are not known.\n");
  }
  if (!listing.holder.empty()) {
    output.print(fmt::format("In use by {}.\n", printable(listing.holder)));
  }
  if (!listing.orphans.empty()) {
    output.print(fmt::format("{} temporary files of dead writers: see `tintype clean --dry-run`.\n",
                             listing.orphans.size()));
  }
}

Json to_json(const std::optional<ListedFile>& file) {
  if (!file.has_value()) return nullptr;
  return {{"name", file->name},
          {"size_bytes", file->size_bytes},
          {"problem", file->status.is_ok() ? Json() : Json(file->status.to_string())}};
}

Json to_json(const ListedCheckpoint& checkpoint) {
  Json json{{"name", checkpoint.name},
            {"standing", name_of(checkpoint.standing)},
            {"state", state_of(checkpoint)},
            {"best", checkpoint.is_best},
            {"last", checkpoint.is_last},
            {"stage", nullptr},
            {"epoch", nullptr},
            {"score", nullptr},
            {"metrics", Json::object()},
            {"full", to_json(checkpoint.full)},
            {"light", to_json(checkpoint.light)}};
  if (!checkpoint.entry.has_value()) return json;
  json["stage"] = checkpoint.entry->stage;
  json["epoch"] = checkpoint.entry->epoch;
  json["score"] = number_to_json(checkpoint.entry->score);
  for (const auto& [name, value] : checkpoint.entry->metrics) {
    json["metrics"][name] = number_to_json(value);
  }
  return json;
}

void print_json(Output& output, const DirectoryListing& listing) {
  Json checkpoints = Json::array();
  for (const ListedCheckpoint& one : listing.checkpoints) checkpoints.push_back(to_json(one));
  Json orphans = Json::array();
  for (const Orphan& orphan : listing.orphans) {
    orphans.push_back({{"name", orphan.name}, {"size_bytes", orphan.size_bytes}});
  }
  Json json{{"schema", "tintype.ls"},
            {"version", kJsonVersion},
            {"path", listing.path},
            {"index", nullptr},
            {"holder", listing.holder.empty() ? Json() : Json(listing.holder)},
            {"disk_bytes", listing.disk_bytes},
            {"checkpoints", std::move(checkpoints)},
            {"orphans", std::move(orphans)},
            {"notes", listing.notes}};
  if (listing.index.has_value()) {
    json["index"] = {{"run_id", listing.index->run_id},
                     {"main_metric", listing.index->main_metric},
                     {"minimize_metric", listing.index->is_metric_minimized},
                     {"save_n_best", listing.index->save_n_best}};
  }
  output.print_json(json);
}

ExitCode run(const Options& options, Output& output) {
  const Result<DirectoryListing> listing = list_checkpoints(posix_file_system(), options.logdir);
  if (!listing.is_ok()) {
    output.print_error(listing.status());
    return exit_code_for(listing.status());
  }
  if (options.is_json) {
    print_json(output, *listing);
  } else {
    print(output, *listing);
  }
  const bool has_trouble =
      std::any_of(listing->checkpoints.begin(), listing->checkpoints.end(), is_trouble);
  return has_trouble ? ExitCode::corrupt_or_different : ExitCode::ok;
}

}  // namespace

Command add_ls(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("ls", "list the checkpoints of a run");
  app->formatter(std::make_shared<ExamplesFirst>(kDescription));
  auto options = std::make_shared<Options>();
  app->add_option("LOGDIR", options->logdir, "folder of the run")->required();
  app->add_flag("--json", options->is_json, "print JSON (docs/command.md)");
  return {app, [options](Output& output) { return run(*options, output); }};
}

}  // namespace tintype::command
