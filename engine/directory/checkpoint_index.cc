#include "engine/directory/checkpoint_index.h"

#include <cmath>
#include <limits>
#include <set>
#include <unordered_set>
#include <utility>

#include <nlohmann/json.hpp>

#include "engine/directory/checkpoint_layout.h"

namespace tintype {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kFormat = "tintype-checkpoint-index";
constexpr const char* kFormKey = "form";  // absent: plain, as before there were others
constexpr uint64_t kVersion = 1;

Json number_to_json(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

Json digest_to_json(const FileDigest& digest) {
  return Json{{"bytes", digest.size_bytes}, {"tail_crc32", digest.tail_crc32}};
}

Json entry_to_json(const CheckpointEntry& entry) {
  Json metrics = Json::object();
  for (const auto& [name, value] : entry.metrics) metrics[name] = number_to_json(value);
  return Json{{"stage", entry.stage},
              {"epoch", entry.epoch},
              {"sequence", entry.sequence},
              {"score", number_to_json(entry.score)},
              {"metrics", std::move(metrics)},
              {"full", digest_to_json(entry.full)},
              {"light", digest_to_json(entry.light)}};
}

Json entries_to_json(const std::vector<CheckpointEntry>& entries) {
  Json list = Json::array();
  for (const CheckpointEntry& entry : entries) list.push_back(entry_to_json(entry));
  return list;
}

Json optional_to_json(const std::optional<CheckpointEntry>& entry) {
  return entry.has_value() ? entry_to_json(*entry) : Json(nullptr);
}

Json resumed_to_json(const std::optional<ResumedAt>& resumed) {
  if (!resumed.has_value()) return nullptr;
  return Json{{"stage", resumed->stage}, {"epoch", resumed->epoch}};
}

// An object as it is read: keys in their order, which differ, as ShapeCheck has found. The
// library's own compares each new key with all others, and takes hours for a million of them.
template <typename Key, typename Value, typename Less, typename Allocator>
struct DistinctKeys : nlohmann::ordered_map<Key, Value, Less, Allocator> {
  using nlohmann::ordered_map<Key, Value, Less, Allocator>::ordered_map;
  Value& operator[](const Key& key) { return this->emplace_back(key, Value()).second; }
};
using ReadJson = nlohmann::basic_json<DistinctKeys>;

// Looks at a text without keeping it: is it JSON, not nested deeper than an index, and does no
// object have a key twice?
class ShapeCheck final : public nlohmann::json_sax<ReadJson> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(int64_t) override { return true; }
  bool number_unsigned(uint64_t) override { return true; }
  bool number_float(double, const std::string&) override { return true; }
  bool string(std::string&) override { return true; }
  bool binary(ReadJson::binary_t&) override { return false; }
  bool start_object(size_t) override { return open(); }
  bool key(std::string& name) override { return keys_.back().insert(std::move(name)).second; }
  bool end_object() override { return close(); }
  bool start_array(size_t) override { return open(); }
  bool end_array() override { return close(); }
  bool parse_error(size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }

 private:
  static constexpr size_t kDepthMax = 8;  // an index has 4

  bool open() {
    keys_.emplace_back();
    return keys_.size() <= kDepthMax;
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  std::vector<std::unordered_set<std::string>> keys_;  // of the open objects; an array has none
};

// Reads fields of one document; the first thing that does not fit is remembered, and everything
// after it yields defaults, so that the readers below need no error paths of their own.
class Reader {
 public:
  const Status& status() const { return status_; }

  void reject(std::string_view what) {
    if (status_.is_ok()) {
      status_ = Status::corruption("the checkpoint index has a bad or missing '" +
                                   std::string(what) + "'");
    }
  }

  const ReadJson& field(const ReadJson& object, const char* name) {
    static const ReadJson kNothing;
    if (!object.is_object()) return reject(name), kNothing;
    const auto found = object.find(name);
    if (found == object.end()) return reject(name), kNothing;
    return *found;
  }

  uint64_t count(const ReadJson& object, const char* name,
                 uint64_t limit = std::numeric_limits<uint64_t>::max() - 1) {
    const ReadJson& value = field(object, name);
    if (!value.is_number_unsigned() || value.get<uint64_t>() > limit) return reject(name), 0;
    return value.get<uint64_t>();
  }

  std::string text(const ReadJson& object, const char* name) {
    const ReadJson& value = field(object, name);
    if (!value.is_string()) return reject(name), "";
    return value.get<std::string>();
  }

  bool truth(const ReadJson& object, const char* name) {
    const ReadJson& value = field(object, name);
    if (!value.is_boolean()) return reject(name), false;
    return value.get<bool>();
  }

  const ReadJson& list(const ReadJson& object, const char* name) {
    static const ReadJson kEmpty = ReadJson::array();
    const ReadJson& value = field(object, name);
    if (!value.is_array()) return reject(name), kEmpty;
    return value;
  }

  double number(const ReadJson& value, const char* name) {
    if (value.is_number()) return value.get<double>();
    if (value == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (value == "inf") return std::numeric_limits<double>::infinity();
    if (value == "-inf") return -std::numeric_limits<double>::infinity();
    return reject(name), 0;
  }

  std::string stage(const ReadJson& object) {
    std::string name = text(object, "stage");
    if (!check_stage_name(name).is_ok()) reject("stage");
    return name;
  }

  FileForm compressed_form(const ReadJson& object) {
    const std::string name = text(object, kFormKey);
    for (const FileForm form : {FileForm::zstd, FileForm::planes}) {
      if (name == to_string(form)) return form;
    }
    return reject(kFormKey), FileForm::plain;
  }

  FileDigest digest(const ReadJson& object, const char* name) {
    const ReadJson& value = field(object, name);
    const auto limit = std::numeric_limits<uint32_t>::max();
    return FileDigest{.size_bytes = count(value, "bytes"),
                      .tail_crc32 = static_cast<uint32_t>(count(value, "tail_crc32", limit))};
  }

  CheckpointEntry entry(const ReadJson& object) {
    CheckpointEntry entry;
    entry.stage = stage(object);
    entry.epoch = count(object, "epoch");
    if (entry.epoch == 0) reject("epoch");
    entry.stem = stem_of(entry.stage, entry.epoch);
    entry.sequence = count(object, "sequence");
    entry.score = number(field(object, "score"), "score");
    const ReadJson& metrics = field(object, "metrics");
    if (!metrics.is_object()) reject("metrics");
    if (metrics.is_object()) {
      for (const auto& [name, value] : metrics.items()) {
        entry.metrics.emplace_back(name, number(value, "metrics"));
      }
    }
    entry.full = digest(object, "full");
    entry.light = digest(object, "light");
    return entry;
  }

  std::optional<CheckpointEntry> optional_entry(const ReadJson& object, const char* name) {
    const ReadJson& value = field(object, name);
    if (value.is_null()) return std::nullopt;
    return entry(value);
  }

  std::vector<CheckpointEntry> entries(const ReadJson& object, const char* name) {
    std::vector<CheckpointEntry> result;
    for (const ReadJson& value : list(object, name)) result.push_back(entry(value));
    return result;
  }

 private:
  Status status_;
};

// Stems and sequence numbers tell entries apart, so they must.
void check_order(Reader& reader, const CheckpointIndex& index) {
  std::set<std::string> stems;
  std::set<uint64_t> sequences;
  for (const CheckpointEntry& entry : index.kept) {
    const bool is_new = stems.insert(entry.stem).second && sequences.insert(entry.sequence).second;
    if (!is_new || entry.sequence >= index.next_sequence) reader.reject("kept");
  }
  if (index.best.has_value() && index.best->sequence >= index.next_sequence) reader.reject("best");
  if (index.last.has_value() && index.last->sequence >= index.next_sequence) reader.reject("last");
}

CheckpointIndex read_index(Reader& reader, const ReadJson& json) {
  CheckpointIndex index;
  index.run_id = reader.text(json, "run_id");
  index.main_metric = reader.text(json, "main_metric");
  index.is_metric_minimized = reader.truth(json, "minimize_metric");
  index.save_n_best = static_cast<uint32_t>(
      reader.count(json, "save_n_best", std::numeric_limits<uint32_t>::max()));
  if (json.contains(kFormKey)) index.form = reader.compressed_form(json);
  index.next_sequence = reader.count(json, "next_sequence");
  index.kept = reader.entries(json, "kept");
  index.best = reader.optional_entry(json, "best");
  index.last = reader.optional_entry(json, "last");
  if (const ReadJson& value = reader.field(json, "resumed_at"); !value.is_null()) {
    index.resumed_at = {.stage = reader.stage(value), .epoch = reader.count(value, "epoch")};
  }
  for (const ReadJson& value : reader.list(json, "ended_stages")) {
    index.ended_stages.push_back(EndedStage{.stage = reader.stage(value),
                                            .epoch = reader.count(value, "epoch"),
                                            .sequence = reader.count(value, "sequence")});
  }
  index.evicting = reader.entries(json, "evicting");
  check_order(reader, index);
  return index;
}

}  // namespace

std::string render_index(const CheckpointIndex& index) {
  Json ended = Json::array();
  for (const EndedStage& stage : index.ended_stages) {
    ended.push_back(
        Json{{"stage", stage.stage}, {"epoch", stage.epoch}, {"sequence", stage.sequence}});
  }
  Json json{{"format", kFormat},
            {"version", kVersion},
            {"run_id", index.run_id},
            {"main_metric", index.main_metric},
            {"minimize_metric", index.is_metric_minimized},
            {"save_n_best", index.save_n_best},
            {"next_sequence", index.next_sequence},
            {"kept", entries_to_json(index.kept)},
            {"best", optional_to_json(index.best)},
            {"last", optional_to_json(index.last)},
            {"resumed_at", resumed_to_json(index.resumed_at)},
            {"ended_stages", std::move(ended)},
            {"evicting", entries_to_json(index.evicting)}};
  if (index.form != FileForm::plain) json[kFormKey] = std::string(to_string(index.form));
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

Result<CheckpointIndex> parse_index(std::string_view text) {
  if (text.size() > kIndexLimitBytes) {
    return Status::corruption("the checkpoint index is larger than 16 MiB");
  }
  ShapeCheck shape;
  if (!ReadJson::sax_parse(text.begin(), text.end(), &shape)) {
    return Status::corruption(
        "the checkpoint index is no JSON, is nested too deeply, or has a key twice");
  }
  const ReadJson json = ReadJson::parse(text.begin(), text.end(), nullptr, false);
  if (!json.is_object()) return Status::corruption("the checkpoint index is no JSON object");
  Reader reader;
  if (reader.text(json, "format") != kFormat) reader.reject("format");
  const uint64_t version = reader.count(json, "version");
  TINTYPE_RETURN_IF_ERROR(reader.status());
  if (version > kVersion) {
    return Status::unsupported("the checkpoint index has version " + std::to_string(version) +
                               ", this program knows up to " + std::to_string(kVersion));
  }
  CheckpointIndex index = read_index(reader, json);
  TINTYPE_RETURN_IF_ERROR(reader.status());
  return index;
}

}  // namespace tintype
