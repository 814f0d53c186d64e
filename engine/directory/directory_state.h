// What a checkpoint directory and its publishers share.
#pragma once

#include <unistd.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "engine/directory/checkpoint_directory.h"
#include "engine/directory/checkpoint_index.h"
#include "engine/directory/checkpoint_layout.h"
#include "engine/directory/directory_lock.h"
#include "engine/directory/retention.h"
#include "engine/file_closer.h"
#include "io/disk/file_system.h"

namespace tintype {

// A save between plan_epoch and the end of its publisher.
struct PlannedSave {
  CheckpointEntry entry;
  bool is_numbered = false;
  // What stood under the numbered names before; 0 for nothing. Tells a half-written pair from files
  // that were there before.
  uint64_t full_inode_before = 0;
  uint64_t light_inode_before = 0;
};

class DirectoryState {
 public:
  explicit DirectoryState(CheckpointDirectoryOptions options_in) : options(std::move(options_in)) {}

  RetentionRule rule() const {
    return {.save_n_best = options.save_n_best, .is_metric_minimized = options.is_metric_minimized};
  }
  std::string full_name(std::string_view base) const {
    return tintype::full_name(base, options.form.form);
  }
  std::string light_name(std::string_view base) const {
    return tintype::light_name(base, options.form.form);
  }
  std::string path_of(std::string_view name) const { return path + "/" + std::string(name); }
  FileSystem& file_system() const;

  // The callbacks may hold objects that only the caller's thread may release: they are dropped when
  // the directory is closed, while publishers may still own this state.
  CheckpointDirectoryOptions options;
  const pid_t process = ::getpid();
  std::string path;  // constant once opened, like the next three
  std::string run_id;
  bool has_foreign_run = false;
  std::vector<std::string> notes;

  // The disk, one thread at a time. Taken before state_mutex where both are needed.
  std::mutex disk_mutex;
  std::unique_ptr<Directory> directory;
  bool is_best_linked = true;       // false: best's links may not show index.best
  bool has_only_own_links = false;  // false: best and last of another form may stand here

  // The caller's own, so that planning an epoch never waits for a publisher.
  std::unique_ptr<Directory> caller_directory;

  std::mutex state_mutex;  // guards what follows; never held over a system call
  CheckpointIndex index;   // published; changed with disk_mutex held as well
  uint64_t next_sequence = 1;
  std::vector<PlannedSave> pending;       // in the order of the plans
  std::vector<PlannedSave> withdrawn;     // numbered ones, whose first file may stand
  std::vector<EndedStage> ending_stages;  // marks that wait for their save
  std::set<std::string> protected_stems;
  std::optional<CheckpointDirectory::ResumePoint> resume_point;
  bool is_closed = false;
  size_t publisher_count = 0;
  std::unique_ptr<DirectoryLock> lock;  // released once closed and without publishers

  FileCloser closer;
};

// --- on disk; REQUIRES for each: disk_mutex held, where the directory is a state's ---

// Makes both files of `to` those of `from`, the full one first.
Status link_pair(DirectoryState& state, std::string_view from, std::string_view to);
// Nothing where there is no index; an error's text says what to do.
Result<std::optional<CheckpointIndex>> read_index(Directory& directory);
// Protocol step 11: index and metrics, then one fsync of the directory.
Status write_index(DirectoryState& state, const CheckpointIndex& index);
// Step 12: deletes the numbered files of `loser` where they are the ones that its digests name.
// True when none of them stands any more (or what stands is not ours).
bool evict_pair(DirectoryState& state, const CheckpointEntry& loser);
// Deletes everything in index.evicting that is not protected.
void evict_losers(DirectoryState& state);

// --- in memory; REQUIRES: state_mutex held ---

void release_lock_if_unused(DirectoryState& state);

// index.kept and the pending saves that will join it.
std::vector<CheckpointEntry> planned_kept(const DirectoryState& state);
std::optional<CheckpointEntry> planned_best(const DirectoryState& state);

}  // namespace tintype
