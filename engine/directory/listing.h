// What stands in a checkpoint directory, for somebody who only looks: nothing is created, locked or
// repaired, and a run may be writing there meanwhile.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status.h"
#include "engine/directory/checkpoint_entry.h"
#include "engine/directory/checkpoint_index.h"
#include "io/disk/file_system.h"
#include "io/disk/orphans.h"

namespace tintype {

struct ListedFile {
  std::string name;  // "train.3_full.pth"
  uint64_t size_bytes = 0;
  // ok: a whole archive, and the file that the index means; not_found: it is missing. Payloads are
  // not read: that is `verify`.
  Status status;
};

// One epoch, under the first name that shows it.
struct ListedCheckpoint {
  enum class Standing {
    kept,       // has numbered files in the index
    linked,     // in the index, but only as best or last
    losing,     // lost its place; goes when the run saves or resumes
    unindexed,  // the index does not know it
  };

  std::string name;  // "train.3"; for the unindexed also "best" and "last"
  Standing standing = Standing::unindexed;
  std::optional<CheckpointEntry> entry;  // as the index has it
  std::optional<ListedFile> full;
  std::optional<ListedFile> light;
  bool is_best = false;
  bool is_last = false;

  bool is_sound() const;
};

struct DirectoryListing {
  std::string path;                      // of the folder with the files
  std::optional<CheckpointIndex> index;  // nothing where none stands
  // In the index's order (best first), then the unindexed by stage and epoch.
  std::vector<ListedCheckpoint> checkpoints;
  uint64_t disk_bytes = 0;  // of all checkpoints, each file once
  std::vector<Orphan> orphans;
  std::string holder;              // of the lock: who writes here; empty where nobody does
  std::vector<std::string> notes;  // best or last that are not what the index says
};

// Of `logdir`/checkpoints, or of `logdir` itself where that is the folder. not_found where neither
// holds checkpoints; else the index's own errors.
Result<DirectoryListing> list_checkpoints(FileSystem& file_system, const std::string& logdir);

struct CleanedFolder {
  std::string path;
  std::vector<Orphan> orphans;
};

// Removes what dead writers left in `directory` and in its folder of checkpoints, as the next start
// there would; with `is_dry_run` only tells. `locked` while a run holds one of the folders, and
// nothing is touched then. Lock files stay: a lock that nobody holds locks nobody out.
Result<std::vector<CleanedFolder>> clean_directory(FileSystem& file_system,
                                                   const std::string& directory, bool is_dry_run);

}  // namespace tintype
