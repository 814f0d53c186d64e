#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/diff/archive_diff.h"
#include "tools/command/commands.h"
#include "tools/command/file_names.h"
#include "tools/command/help.h"
#include "tools/command/json_number.h"
#include "tools/command/text.h"

namespace tintype::command {
namespace {

using Json = nlohmann::ordered_json;
using Kind = TensorDifference::Kind;

constexpr int kJsonVersion = 1;

constexpr const char* kDescription =
    "Examples:\n"
    "  tintype diff train.1.pth train.2.pth     which tensors and values differ, and how much\n"
    "  tintype diff --rtol 1e-5 a.pth b.pth     only those that differ by more than 1 in 100,000\n"
    "  tintype diff -q a.pth b.pth && echo same\n"
    "  tintype diff --json a.pth b.pth | jq -r '.tensors[] | select(.max_abs > 0.1) | .name'\n"
    "\n"
    "Compares what two checkpoints hold, by its keys: tensors by their elements, all else by its\n"
    "value. Layout does not matter: devices, strides, shared storages, the form of the file. NaN\n"
    "equals NaN and 0.0 equals -0.0. Elements a and b agree where |a - b| is at most the larger "
    "of\n"
    "--atol and --rtol times max(|a|, |b|). Exit code 0 where all is equal, 3 where not.";

struct Options {
  std::string first;
  std::string second;
  Tolerance tolerance;
  uint32_t thread_count = 0;
  bool is_quiet = false;
  bool is_json = false;
};

std::string_view name_of(Kind kind) {
  switch (kind) {
    case Kind::only_in_first: return "only_in_first";
    case Kind::only_in_second: return "only_in_second";
    case Kind::type: return "type";
    case Kind::shape: return "shape";
    case Kind::values: return "values";
  }
  return "";
}

template <typename Difference>
std::string name_text(const Difference& one) {
  if (!one.name.empty()) return printable(one.name);
  const bool is_root = (one.first.has_value() ? one.first : one.second)->path == 0;
  return is_root ? "(the file's only value)" : "(empty key)";
}

// Names of which each file has its own, by other keys.
template <typename Difference>
size_t count_lookalikes(const std::vector<Difference>& differences) {
  std::set<std::string_view> removed;
  for (const Difference& one : differences) {
    if (!one.second.has_value()) removed.insert(one.name);
  }
  size_t count = 0;
  for (const Difference& one : differences) {
    if (!one.first.has_value()) count += removed.count(one.name);
  }
  return count;
}

std::string type_text(const TensorEntry& tensor) {
  const bool is_meta = tensor.form == TensorEntry::Form::meta;
  return fmt::format("{}{} {}", is_meta ? "meta " : "", tensor.dtype, shape_text(tensor.shape));
}

std::string elements_text(const TensorDifference& difference) {
  const ElementDifference& elements = difference.elements;
  std::string text = fmt::format("{} of {} elements", grouped(elements.differing_count),
                                 grouped(difference.first->element_count()));
  if (!has_distances(difference.first->dtype)) return text;
  text +=
      fmt::format(", max abs {:.3g}, max rel {:.3g}", elements.max_absolute, elements.max_relative);
  if (elements.nonfinite_count != 0) {
    text += fmt::format(", {} NaN or infinite on one side", grouped(elements.nonfinite_count));
  }
  return text;
}

std::string text_of(const TensorDifference& difference) {
  switch (difference.kind) {
    case Kind::only_in_first: return type_text(*difference.first);
    case Kind::only_in_second: return type_text(*difference.second);
    case Kind::type:
    case Kind::shape:
      return type_text(*difference.first) + " became " + type_text(*difference.second);
    case Kind::values: return elements_text(difference);
  }
  return "";
}

std::string value_text(const ValueEntry& value) {
  return printable(value.is_opaque ? value.type : value.text);
}

// What both sides look like is cut or opaque where only the rest differs.
std::string text_of(const ValueDifference& difference) {
  if (!difference.second.has_value()) return value_text(*difference.first);
  if (!difference.first.has_value()) return value_text(*difference.second);
  const std::string first = value_text(*difference.first);
  const std::string second = value_text(*difference.second);
  return first == second ? first + ", in what is not shown" : first + " became " + second;
}

// As in a unified diff: what only one of the two has is taken away or added.
std::string_view mark_of(bool has_first, bool has_second) {
  return has_first && has_second ? "~" : has_first ? "-" : "+";
}

std::string summary_of(const ArchiveDiff& diff) {
  size_t changed_tensors = 0;
  for (const auto& tensor : diff.tensors) changed_tensors += tensor.first && tensor.second ? 1 : 0;
  size_t changed_values = 0;
  for (const auto& value : diff.values) changed_values += value.first && value.second ? 1 : 0;
  const std::string compared =
      fmt::format("{} common tensors, {} common values", grouped(diff.common_tensor_count),
                  grouped(diff.common_value_count));
  if (diff.is_exactly_equal()) return fmt::format("equal: {}\n", compared);
  if (diff.is_equal()) {
    const std::string values = diff.tolerated_value_count == 0
                                   ? ""
                                   : fmt::format(", {} common values not exactly equal",
                                                 grouped(diff.tolerated_value_count));
    return fmt::format("equal within the tolerance: {}, max abs {:.3g}, max rel {:.3g}{}\n",
                       compared, diff.elements.max_absolute, diff.elements.max_relative, values);
  }
  return fmt::format("\n{}: {} and {} differ; {} tensors and {} values are in one file only\n",
                     compared, grouped(changed_tensors), grouped(changed_values),
                     grouped(diff.tensors.size() - changed_tensors),
                     grouped(diff.values.size() - changed_values));
}

void print(Output& output, const ArchiveDiff& diff) {
  Table table({Align::left, Align::left, Align::left});
  for (const TensorDifference& one : diff.tensors) {
    table.add({std::string(mark_of(one.first.has_value(), one.second.has_value())), name_text(one),
               text_of(one)});
  }
  for (const ValueDifference& one : diff.values) {
    table.add({std::string(mark_of(one.first.has_value(), one.second.has_value())), name_text(one),
               text_of(one)});
  }
  output.print(table.text());
  output.print(summary_of(diff));
  const size_t lookalikes = count_lookalikes(diff.tensors) + count_lookalikes(diff.values);
  if (lookalikes != 0) {
    output.print(
        fmt::format("note: {} names stand for other keys in the other file, as 1 and '1', or "
                    "'a/b' and 'b' in 'a'\n",
                    grouped(lookalikes)));
  }
  if (diff.quantized_count != 0) {
    output.print(fmt::format(
        "note: of {} quantized tensors the integers were compared, not scale and zero point\n",
        grouped(diff.quantized_count)));
  }
}

Json to_json(const std::optional<TensorEntry>& tensor) {
  if (!tensor.has_value()) return nullptr;
  return {{"dtype", tensor->dtype}, {"shape", tensor->shape}};
}

Json to_json(const std::optional<ValueEntry>& value) {
  if (!value.has_value()) return nullptr;
  return {{"type", value->type}, {"text", value->text}, {"opaque", value->is_opaque}};
}

Json to_json(const TensorDifference& difference) {
  Json json{{"name", difference.name},
            {"kind", name_of(difference.kind)},
            {"first", to_json(difference.first)},
            {"second", to_json(difference.second)},
            {"differing_elements", nullptr},
            {"nonfinite_elements", nullptr},
            {"max_abs", nullptr},
            {"max_rel", nullptr}};
  if (difference.kind != Kind::values) return json;
  json["differing_elements"] = difference.elements.differing_count;
  if (!has_distances(difference.first->dtype)) return json;
  json["nonfinite_elements"] = difference.elements.nonfinite_count;
  json["max_abs"] = number_to_json(difference.elements.max_absolute);
  json["max_rel"] = number_to_json(difference.elements.max_relative);
  return json;
}

void print_json(Output& output, const ArchiveDiff& diff, const Options& options) {
  Json tensors = Json::array();
  for (const TensorDifference& one : diff.tensors) tensors.push_back(to_json(one));
  Json values = Json::array();
  for (const ValueDifference& one : diff.values) {
    values.push_back(
        {{"name", one.name}, {"first", to_json(one.first)}, {"second", to_json(one.second)}});
  }
  output.print_json({{"schema", "tintype.diff"},
                     {"version", kJsonVersion},
                     {"first", options.first},
                     {"second", options.second},
                     {"equal", diff.is_equal()},
                     {"common_tensors", diff.common_tensor_count},
                     {"common_values", diff.common_value_count},
                     {"quantized_tensors", diff.quantized_count},
                     {"tolerated_values", diff.tolerated_value_count},
                     {"max_abs", number_to_json(diff.elements.max_absolute)},
                     {"max_rel", number_to_json(diff.elements.max_relative)},
                     {"tensors", std::move(tensors)},
                     {"values", std::move(values)}});
}

Result<ArchiveDiff> compare(const Options& options, Output& output) {
  TINTYPE_ASSIGN_OR_RETURN(const auto first, Archive::open(posix_file_system(), options.first));
  TINTYPE_ASSIGN_OR_RETURN(const auto second, Archive::open(posix_file_system(), options.second));
  DiffOptions diff_options;
  diff_options.tolerance = options.tolerance;
  diff_options.reading.thread_count = options.thread_count;
  diff_options.on_tensor = [&](size_t position, size_t count, std::string_view name) {
    output.show_progress(
        fmt::format("comparing {} of {}: {}", position + 1, count, printable(name)));
  };
  return diff_archives(*first, *second, diff_options);
}

ExitCode run(const Options& options, Output& output) {
  const Result<ArchiveDiff> diff = compare(options, output);
  if (!diff.is_ok()) {
    output.print_error(diff.status());
    return exit_code_for(diff.status());
  }
  if (options.is_json) {
    print_json(output, *diff, options);
  } else if (!options.is_quiet) {
    print(output, *diff);
  }
  return diff->is_equal() ? ExitCode::ok : ExitCode::corrupt_or_different;
}

}  // namespace

Command add_diff(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("diff", "compare two checkpoints");
  app->formatter(std::make_shared<ExamplesFirst>(kDescription));
  auto options = std::make_shared<Options>();
  const CLI::Validator not_negative(
      [](const std::string& text) {
        double value = 0;
        const bool is_number = CLI::detail::lexical_cast(text, value) && std::isfinite(value);
        return is_number && value >= 0 ? std::string() : "'" + text + "' is no number from 0 on";
      },
      "");
  app->add_option("FIRST", options->first, "checkpoint")->required()->check(refuse_stream);
  app->add_option("SECOND", options->second, "checkpoint")->required()->check(refuse_stream);
  app->add_option("--atol", options->tolerance.absolute, "absolute difference that counts as none")
      ->type_name("X")
      ->capture_default_str()
      ->check(not_negative);
  app->add_option("--rtol", options->tolerance.relative, "relative difference that counts as none")
      ->type_name("X")
      ->capture_default_str()
      ->check(not_negative);
  app->add_flag("-q,--quiet", options->is_quiet, "print nothing, answer by the exit code");
  add_threads(*app, options->thread_count, "how many threads read; 0: as many as pay");
  app->add_flag("--json", options->is_json, "print JSON (docs/command.md)");
  return {app, [options](Output& output) { return run(*options, output); }};
}

}  // namespace tintype::command
