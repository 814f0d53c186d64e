#include "engine/directory/metrics_file.h"

#include <utility>

#include <nlohmann/json.hpp>

namespace tintype {
namespace {

using Json = nlohmann::ordered_json;

// The library writes numbers that JSON does not have as null.
Json metrics_to_json(const CheckpointEntry& entry) {
  Json json = Json::object();
  for (const auto& [name, value] : entry.metrics) json[name] = value;
  return json;
}

}  // namespace

std::string render_metrics(const CheckpointIndex& index) {
  Json json = Json::object();
  if (index.best.has_value()) json["best"] = metrics_to_json(*index.best);
  if (index.last.has_value()) json["last"] = metrics_to_json(*index.last);
  for (const CheckpointEntry& entry : index.kept) json[entry.stem] = metrics_to_json(entry);
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace tintype
