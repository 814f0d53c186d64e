// `.tintype.json`: the truth for resume. Pure: text in, text out.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/directory/checkpoint_entry.h"
#include "io/archive/file_form.h"

namespace tintype {

inline constexpr uint64_t kIndexLimitBytes = 16ull << 20;

struct EndedStage {
  std::string stage;
  uint64_t epoch = 0;     // its last
  uint64_t sequence = 0;  // of the save of that epoch; 0 where the stage had none
};

// Where a job went back to. Until its next save, what it writes may have lower epochs than `last`.
struct ResumedAt {
  std::string stage;
  uint64_t epoch = 0;
};

struct CheckpointIndex {
  std::string run_id;
  std::string main_metric;
  bool is_metric_minimized = true;
  uint32_t save_n_best = 1;
  FileForm form = FileForm::plain;  // of all files: their names depend on it
  uint64_t next_sequence = 1;
  std::vector<CheckpointEntry> kept;    // have numbered files; best first
  std::optional<CheckpointEntry> best;  // what best.pth holds; need not be among `kept`
  std::optional<CheckpointEntry> last;  // what last.pth holds
  std::optional<ResumedAt> resumed_at;  // set only where that is not `last`
  std::vector<EndedStage> ended_stages;
  std::vector<CheckpointEntry> evicting;  // losers that may still stand; theirs to be deleted
};

// Doubles survive exactly; those that JSON has no numbers for become "nan", "inf" and "-inf".
std::string render_index(const CheckpointIndex& index);

// corruption for anything render_index cannot have written, unsupported for a newer version. The
// text may come from anywhere; memory stays in proportion to its size.
Result<CheckpointIndex> parse_index(std::string_view text);

}  // namespace tintype
