#include <limits>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "engine/restore/archive.h"
#include "engine/restore/image.h"
#include "io/archive/record_names.h"
#include "tools/command/commands.h"
#include "tools/command/file_names.h"
#include "tools/command/help.h"
#include "tools/command/text.h"
#include "tools/sizes.h"

namespace tintype::command {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kJsonVersion = 1;

constexpr const char* kDescription =
    "Examples:\n"
    "  tintype inspect best.pth               the tensors\n"
    "  tintype inspect --all best_full.pth    and the other values: epochs, metrics, options\n"
    "  tintype inspect --records best.pth     and where the bytes lie in the file\n"
    "  tintype inspect --json best.pth | jq '.tensors[] | select(.dtype == \"float16\") | .name'\n"
    "\n"
    "Lists what a checkpoint of torch.save or Tintype holds. Reads the structure only (`tintype\n"
    "verify` checks the bytes). Nothing in the file is executed: objects that only their own\n"
    "Python class can build are shown as opaque.";

struct Options {
  std::string path;
  bool has_values = false;
  bool has_records = false;
  bool is_json = false;
};

// An archive, and its file once more for what lies between the records.
struct Opened {
  const ByteSource* source;  // owned by `archive`
  std::unique_ptr<Archive> archive;
};

Result<Opened> open_archive(const std::string& path) {
  TINTYPE_ASSIGN_OR_RETURN(Image image, open_image(posix_file_system(), path, Access::random));
  const ByteSource* view = image.source.get();
  TINTYPE_ASSIGN_OR_RETURN(auto archive, Archive::open(std::move(image)));
  return Opened{view, std::move(archive)};
}

// Tensors that are expanded (stride 0) may claim more than any file holds.
uint64_t saturating_sum(uint64_t first, uint64_t second) {
  const uint64_t sum = first + second;
  return sum < first ? std::numeric_limits<uint64_t>::max() : sum;
}

struct Totals {
  uint64_t element_count = 0;
  uint64_t tensor_bytes = 0;
  uint64_t storage_count = 0;
  uint64_t storage_bytes = 0;  // shared ones once
};

Totals total_of(const std::vector<TensorEntry>& tensors) {
  Totals totals;
  std::set<std::string_view> storages;
  for (const TensorEntry& tensor : tensors) {
    totals.element_count = saturating_sum(totals.element_count, tensor.element_count());
    totals.tensor_bytes = saturating_sum(totals.tensor_bytes, tensor.size_bytes);
    if (tensor.storage_key.empty() || !storages.insert(tensor.storage_key).second) continue;
    totals.storage_bytes = saturating_sum(totals.storage_bytes, tensor.storage_bytes);
  }
  totals.storage_count = storages.size();
  return totals;
}

std::string_view name_of(TensorEntry::Form form) {
  switch (form) {
    case TensorEntry::Form::strided: return "strided";
    case TensorEntry::Form::quantized: return "quantized";
    case TensorEntry::Form::meta: return "meta";
    case TensorEntry::Form::storage: return "storage";
  }
  return "";
}

std::string_view name_of(ZipMethod method) {
  switch (method) {
    case ZipMethod::stored: return "stored";
    case ZipMethod::deflated: return "deflated";
    case ZipMethod::zstd: return "zstd";
  }
  return "";
}

// Some elements share their bytes.
bool is_expanded(const TensorEntry& tensor) {
  for (size_t i = 0; i < tensor.stride.size(); ++i) {
    if (tensor.stride[i] == 0 && tensor.shape[i] > 1) return true;
  }
  return false;
}

// What sets a tensor apart from a plain one of its own.
std::string remarks_on(const TensorEntry& tensor) {
  std::vector<std::string> remarks;
  if (tensor.form != TensorEntry::Form::strided) remarks.emplace_back(name_of(tensor.form));
  if (!tensor.is_contiguous()) {
    remarks.emplace_back(is_expanded(tensor) ? "expanded" : "not contiguous");
  }
  if (tensor.is_conjugate) remarks.emplace_back("conjugate");
  if (tensor.is_negative) remarks.emplace_back("negated");
  if (tensor.python_type != "Tensor" && tensor.python_type != "Parameter") {
    remarks.push_back(printable(tensor.python_type));
  }
  return fmt::format("{}", fmt::join(remarks, ", "));
}

// How many times larger a tensor's storage is than what holds it in a compressed file; of an extent
// that it shares with others, it has its part.
std::optional<double> ratio_of(const Archive& archive, const TensorEntry& tensor) {
  if (archive.frames() == nullptr || tensor.storage_key.empty()) return std::nullopt;
  const ArchiveRecord* record = archive.index().find(storage_record(tensor.storage_key));
  if (record == nullptr) return std::nullopt;
  const uint64_t image_bytes = record->limit_offset - record->header_offset;
  const uint64_t file_bytes =
      archive.frames()->encoded_bytes_of(record->header_offset, image_bytes);
  if (file_bytes == 0) return std::nullopt;
  return static_cast<double>(image_bytes) / static_cast<double>(file_bytes);
}

void print_tensors(Output& output, const Archive& archive) {
  const bool is_compressed = archive.frames() != nullptr;
  std::vector<Align> alignments = {Align::left, Align::left, Align::left, Align::right};
  std::vector<std::string> titles = {"TENSOR", "DTYPE", "SHAPE", "SIZE"};
  if (is_compressed) {
    alignments.push_back(Align::right);
    titles.emplace_back("RATIO");
  }
  alignments.insert(alignments.end(), {Align::left, Align::left});
  titles.insert(titles.end(), {"STORAGE", "REMARKS"});
  Table table(alignments);
  table.add(titles);
  const bool is_only_value = archive.tensors().size() == 1 && archive.values().empty();
  const char* nameless = is_only_value ? "(the file's only value)" : "(empty key)";
  for (const TensorEntry& tensor : archive.tensors()) {
    std::vector<std::string> cells = {tensor.name.empty() ? nameless : printable(tensor.name),
                                      printable(tensor.dtype), shape_text(tensor.shape),
                                      format_size(tensor.size_bytes)};
    if (is_compressed) {
      const auto ratio = ratio_of(archive, tensor);
      cells.push_back(ratio.has_value() ? fmt::format("{:.2f}", *ratio) : "");
    }
    cells.insert(cells.end(), {printable(tensor.storage_key), remarks_on(tensor)});
    table.add(cells);
  }
  output.print(table.text());
}

void print_values(Output& output, const Archive& archive) {
  Table table({Align::left, Align::left, Align::left});
  table.add({"VALUE", "TYPE", "CONTENT"});
  for (const ValueEntry& value : archive.values()) {
    table.add({printable(value.name), printable(value.type),
               value.is_opaque ? "opaque " + printable(value.text) : printable(value.text)});
  }
  output.print("\n" + table.text());
}

Status print_records(Output& output, const Opened& opened) {
  Table table({Align::left, Align::right, Align::right, Align::right, Align::left, Align::left});
  table.add({"RECORD", "OFFSET", "STORED", "SIZE", "METHOD", "CRC-32"});
  const ZipIndex& index = opened.archive->index();
  for (const ArchiveRecord& record : index.records) {
    TINTYPE_ASSIGN_OR_RETURN(const uint64_t offset, locate_payload(*opened.source, index, record));
    table.add({printable(record.name), grouped(offset), grouped(record.stored_bytes),
               grouped(record.size_bytes), std::string(name_of(record.method)),
               record.is_crc_known() ? fmt::format("{:08x}", record.crc32) : "none"});
  }
  output.print("\n" + table.text());
  return Status::ok();
}

Status print(Output& output, const Opened& opened, const Options& options) {
  const Archive& archive = *opened.archive;
  const Totals totals = total_of(archive.tensors());
  print_tensors(output, archive);
  if (options.has_values) print_values(output, archive);
  if (options.has_records) TINTYPE_RETURN_IF_ERROR(print_records(output, opened));
  output.print(fmt::format("\n{} tensors, {} elements, {} in {} storages; {} other values{}\n",
                           grouped(archive.tensors().size()), grouped(totals.element_count),
                           format_size(totals.storage_bytes), grouped(totals.storage_count),
                           grouped(archive.values().size()),
                           options.has_values || archive.values().empty() ? "" : " (--all)"));
  std::string image;
  if (archive.form() != FileForm::plain) {
    image = fmt::format(
        " ({}, holds {}: {:.2f} times)", to_string(archive.form()),
        format_size(archive.size_bytes()),
        static_cast<double>(archive.size_bytes()) / static_cast<double>(archive.file_bytes()));
  }
  output.print(fmt::format("{}: {}{}, {} records\n", printable(archive.path()),
                           format_size(archive.file_bytes()), image,
                           grouped(archive.records().size())));
  return Status::ok();
}

Json to_json(const TensorEntry& tensor) {
  return {{"name", tensor.name},
          {"form", name_of(tensor.form)},
          {"dtype", tensor.dtype},
          {"shape", tensor.shape},
          {"stride", tensor.stride},
          {"storage_offset", tensor.storage_offset},
          {"size_bytes", tensor.size_bytes},
          {"storage", tensor.storage_key.empty() ? Json() : Json(tensor.storage_key)},
          {"storage_bytes", tensor.storage_bytes},
          {"device", tensor.device},
          {"python_type", tensor.python_type},
          {"requires_grad", tensor.requires_grad},
          {"conjugate", tensor.is_conjugate},
          {"negative", tensor.is_negative}};
}

Json to_json(const ValueEntry& value) {
  return {{"name", value.name},
          {"type", value.type},
          {"text", value.text},
          {"opaque", value.is_opaque}};
}

Json to_json(const ArchiveRecord& record, uint64_t payload_offset) {
  return {{"name", record.name},
          {"offset", payload_offset},
          {"header_offset", record.header_offset},
          {"stored_bytes", record.stored_bytes},
          {"size_bytes", record.size_bytes},
          {"method", name_of(record.method)},
          {"crc32", record.is_crc_known() ? Json(record.crc32) : Json()}};
}

Result<Json> records_to_json(const Opened& opened) {
  const ZipIndex& index = opened.archive->index();
  Json records = Json::array();
  for (const ArchiveRecord& record : index.records) {
    TINTYPE_ASSIGN_OR_RETURN(const uint64_t offset, locate_payload(*opened.source, index, record));
    records.push_back(to_json(record, offset));
  }
  return records;
}

Json tensors_to_json(const Archive& archive) {
  Json list = Json::array();
  for (const TensorEntry& tensor : archive.tensors()) {
    list.push_back(to_json(tensor));
    const auto ratio = ratio_of(archive, tensor);
    list.back()["ratio"] = ratio.has_value() ? Json(*ratio) : Json();
  }
  return list;
}

Json values_to_json(const Archive& archive) {
  Json list = Json::array();
  for (const ValueEntry& value : archive.values()) list.push_back(to_json(value));
  return list;
}

Status print_json(Output& output, const Opened& opened, const Options& options) {
  const Archive& archive = *opened.archive;
  const Totals totals = total_of(archive.tensors());
  Json json{{"schema", "tintype.inspect"},
            {"version", kJsonVersion},
            {"path", archive.path()},
            {"form", to_string(archive.form())},
            {"size_bytes", archive.file_bytes()},
            {"plain_bytes", archive.size_bytes()},
            {"record_count", archive.records().size()},
            {"totals",
             {{"tensors", archive.tensors().size()},
              {"elements", totals.element_count},
              {"tensor_bytes", totals.tensor_bytes},
              {"storages", totals.storage_count},
              {"storage_bytes", totals.storage_bytes}}},
            {"tensors", tensors_to_json(archive)},
            {"values", values_to_json(archive)},
            {"notes", archive.index().notes}};
  if (options.has_records) {
    TINTYPE_ASSIGN_OR_RETURN(json["records"], records_to_json(opened));
  }
  output.print_json(json);
  return Status::ok();
}

ExitCode run(const Options& options, Output& output) {
  const auto opened = open_archive(options.path);
  Status status = opened.status();
  if (status.is_ok()) {
    status =
        options.is_json ? print_json(output, *opened, options) : print(output, *opened, options);
  }
  if (!status.is_ok()) output.print_error(status);
  return exit_code_for(status);
}

}  // namespace

Command add_inspect(CLI::App& parent) {
  CLI::App* app = parent.add_subcommand("inspect", "list what a checkpoint holds");
  app->formatter(std::make_shared<ExamplesFirst>(kDescription));
  auto options = std::make_shared<Options>();
  app->add_option("FILE", options->path, "checkpoint")->required()->check(refuse_stream);
  app->add_flag("-a,--all", options->has_values, "show the values beside the tensors, too");
  app->add_flag("--records", options->has_records, "show the records and their offsets, too");
  app->add_flag("--json", options->is_json, "print JSON (docs/command.md)");
  return {app, [options](Output& output) { return run(*options, output); }};
}

}  // namespace tintype::command
