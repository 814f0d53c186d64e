// Which checkpoints stay, and which one is the best: pure, with one comparison for both.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/directory/checkpoint_entry.h"

namespace tintype {

struct RetentionRule {
  uint32_t save_n_best = 1;  // per stage; 0 keeps no numbered file
  bool is_metric_minimized = true;
};

// A strict total order over saves: the better score, among equals the older save. NaN is worse than
// every number in both directions, and equal to another NaN.
bool ranks_before(const CheckpointEntry& first, const CheckpointEntry& second,
                  const RetentionRule& rule);

struct Selection {
  std::vector<CheckpointEntry> kept;     // best first, all stages together
  std::vector<CheckpointEntry> evicted;  // were in `entries` or the added one; not kept
};

// The save_n_best best of every stage. Among entries of one stem only the newest counts: its files
// have replaced the others', which appear nowhere in the result.
Selection select_kept(std::vector<CheckpointEntry> entries, const RetentionRule& rule);

// Whether `added` takes the place of `best`, which is shared by all stages.
bool is_new_best(const std::optional<CheckpointEntry>& best, const CheckpointEntry& added,
                 const RetentionRule& rule);

}  // namespace tintype
