#include "engine/directory/retention.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

namespace tintype {
namespace {

bool is_newer_of_stem(const CheckpointEntry& first, const CheckpointEntry& second) {
  if (first.stem != second.stem) return first.stem < second.stem;
  return first.sequence > second.sequence;
}

void drop_replaced(std::vector<CheckpointEntry>& entries) {
  std::sort(entries.begin(), entries.end(), is_newer_of_stem);
  const auto has_same_stem = [](const CheckpointEntry& a, const CheckpointEntry& b) {
    return a.stem == b.stem;
  };
  entries.erase(std::unique(entries.begin(), entries.end(), has_same_stem), entries.end());
}

}  // namespace

bool ranks_before(const CheckpointEntry& first, const CheckpointEntry& second,
                  const RetentionRule& rule) {
  const bool first_is_nan = std::isnan(first.score);
  const bool second_is_nan = std::isnan(second.score);
  if (first_is_nan != second_is_nan) return second_is_nan;
  if (!first_is_nan && first.score != second.score) {
    return rule.is_metric_minimized ? first.score < second.score : first.score > second.score;
  }
  return first.sequence < second.sequence;
}

Selection select_kept(std::vector<CheckpointEntry> entries, const RetentionRule& rule) {
  drop_replaced(entries);
  std::sort(entries.begin(), entries.end(),
            [&](const auto& a, const auto& b) { return ranks_before(a, b, rule); });
  Selection selection;
  std::map<std::string, uint32_t> kept_of_stage;
  for (CheckpointEntry& entry : entries) {
    const bool is_kept = kept_of_stage[entry.stage]++ < rule.save_n_best;
    (is_kept ? selection.kept : selection.evicted).push_back(std::move(entry));
  }
  return selection;
}

bool is_new_best(const std::optional<CheckpointEntry>& best, const CheckpointEntry& added,
                 const RetentionRule& rule) {
  return !best.has_value() || ranks_before(added, *best, rule);
}

}  // namespace tintype
