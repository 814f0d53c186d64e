#include "engine/directory/directory_state.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "engine/directory/checkpoint_layout.h"
#include "engine/directory/document.h"
#include "engine/directory/file_digest.h"
#include "engine/directory/metrics_file.h"
#include "io/disk/links.h"

namespace tintype {
namespace {

// True when the name is free, or taken by something that is not ours to delete.
bool evict_one(DirectoryState& state, const std::string& name, const FileDigest& digest) {
  const Result<FileDigest> found = read_digest(*state.directory, name);
  if (found.status().code() == StatusCode::not_found) return true;
  if (found.is_ok() && *found != digest) return true;
  Status status = found.status();
  if (status.is_ok()) {
    Result<std::unique_ptr<File>> evicted = evict_file(*state.directory, name);
    status = evicted.status();
    if (evicted.is_ok()) state.closer.close(std::move(evicted).value());
  }
  if (!status.is_ok()) log_warning("a checkpoint that lost its place stays: " + status.to_string());
  return status.is_ok();
}

}  // namespace

FileSystem& DirectoryState::file_system() const {
  return options.file_system != nullptr ? *options.file_system : posix_file_system();
}

Status link_pair(DirectoryState& state, std::string_view from, std::string_view to) {
  TINTYPE_RETURN_IF_ERROR(move_link(*state.directory, state.full_name(from), state.full_name(to)));
  return move_link(*state.directory, state.light_name(from), state.light_name(to));
}

Result<std::optional<CheckpointIndex>> read_index(Directory& directory) {
  Result<std::unique_ptr<File>> file = directory.open(kIndexName, false);
  if (file.status().code() == StatusCode::not_found) return std::optional<CheckpointIndex>();
  TINTYPE_RETURN_IF_ERROR(file.status());
  TINTYPE_ASSIGN_OR_RETURN(const ByteVector content, read_whole(**file, kIndexLimitBytes));
  Result<CheckpointIndex> index = parse_index(as_text(content));
  if (!index.is_ok()) {
    const std::string path = directory.path() + "/" + std::string(kIndexName);
    return index.status()
        .with_context("read '" + path + "'")
        .with_remedy("move it away: the index is then made again from the files")
        .with_path(path);
  }
  return std::optional<CheckpointIndex>(std::move(index).value());
}

Status write_index(DirectoryState& state, const CheckpointIndex& index) {
  Directory& directory = *state.directory;
  TINTYPE_RETURN_IF_ERROR(put_document(directory, kIndexName, render_index(index)));
  TINTYPE_RETURN_IF_ERROR(
      put_document(directory, state.options.metrics_filename, render_metrics(index)));
  return directory.sync();
}

bool evict_pair(DirectoryState& state, const CheckpointEntry& loser) {
  // The light file first: what is left of a torn eviction is then a full file, which lacks nothing.
  const bool is_light_gone = evict_one(state, state.light_name(loser.stem), loser.light);
  const bool is_full_gone = evict_one(state, state.full_name(loser.stem), loser.full);
  return is_light_gone && is_full_gone;
}

void evict_losers(DirectoryState& state) {
  std::vector<CheckpointEntry> losers;
  std::set<std::string> protected_stems;
  {
    std::lock_guard lock(state.state_mutex);
    losers = state.index.evicting;
    protected_stems = state.protected_stems;
  }
  std::erase_if(losers, [&](const CheckpointEntry& loser) {
    return protected_stems.contains(loser.stem) || evict_pair(state, loser);
  });
  std::lock_guard lock(state.state_mutex);
  state.index.evicting = std::move(losers);
}

void release_lock_if_unused(DirectoryState& state) {
  if (state.is_closed && state.publisher_count == 0) state.lock.reset();
}

std::vector<CheckpointEntry> planned_kept(const DirectoryState& state) {
  std::vector<CheckpointEntry> entries = state.index.kept;
  for (const PlannedSave& save : state.pending) {
    entries.push_back(save.entry);
    entries = select_kept(std::move(entries), state.rule()).kept;
  }
  return entries;
}

std::optional<CheckpointEntry> planned_best(const DirectoryState& state) {
  std::optional<CheckpointEntry> best = state.index.best;
  for (const PlannedSave& save : state.pending) {
    if (is_new_best(best, save.entry, state.rule())) best = save.entry;
  }
  return best;
}

}  // namespace tintype
