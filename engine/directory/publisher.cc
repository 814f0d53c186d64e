#include "engine/directory/publisher.h"

#include <unistd.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/log.h"
#include "engine/directory/checkpoint_layout.h"
#include "engine/directory/file_digest.h"
#include "io/disk/links.h"

namespace tintype {
namespace {

bool contains(const std::vector<CheckpointEntry>& entries, uint64_t sequence) {
  return std::any_of(entries.begin(), entries.end(),
                     [&](const auto& entry) { return entry.sequence == sequence; });
}

bool contains_stem(const std::vector<CheckpointEntry>& entries, const std::string& stem) {
  return std::any_of(entries.begin(), entries.end(),
                     [&](const auto& entry) { return entry.stem == stem; });
}

}  // namespace

EpochPublisher::EpochPublisher(std::shared_ptr<DirectoryState> state, PlannedSave save)
    : state_(std::move(state)), save_(std::move(save)) {
  std::lock_guard lock(state_->state_mutex);
  ++state_->publisher_count;
}

EpochPublisher::~EpochPublisher() {
  if (::getpid() != state_->process) {
    // A forked child has the parent's locks in any state and none of its threads: let it be.
    new std::shared_ptr<DirectoryState>(std::move(state_));
    return;
  }
  if (!is_entered_) withdraw();
  std::lock_guard lock(state_->state_mutex);
  --state_->publisher_count;
  release_lock_if_unused(*state_);
}

Status EpochPublisher::publish() {
  std::lock_guard disk_lock(state_->disk_mutex);
  TINTYPE_RETURN_IF_ERROR(read_digests());
  CheckpointIndex next = next_index();
  Status first_error = link_names(next);
  // Also after a link that failed: the files are durable, and the index should say so.
  Status status = write_index(*state_, next);
  while (!enter(next)) status = write_index(*state_, next);
  if (first_error.is_ok()) first_error = status;
  return first_error;
}

void EpochPublisher::evict() {
  std::lock_guard disk_lock(state_->disk_mutex);
  evict_losers(*state_);
  remove_half_written();
  if (state_->is_best_linked && !state_->has_only_own_links) remove_links_of_other_forms();
}

Status EpochPublisher::read_digests() {
  const std::string_view base = save_.is_numbered ? std::string_view(save_.entry.stem) : kLastBase;
  TINTYPE_ASSIGN_OR_RETURN(save_.entry.full,
                           read_digest(*state_->directory, state_->full_name(base)));
  TINTYPE_ASSIGN_OR_RETURN(save_.entry.light,
                           read_digest(*state_->directory, state_->light_name(base)));
  return Status::ok();
}

// What the index becomes if every link succeeds.
CheckpointIndex EpochPublisher::next_index() {
  std::lock_guard lock(state_->state_mutex);
  const CheckpointEntry& entry = save_.entry;
  CheckpointIndex next = state_->index;
  next.next_sequence = std::max(next.next_sequence, entry.sequence + 1);
  next.last = entry;
  next.resumed_at.reset();
  if (is_new_best(next.best, entry, state_->rule())) next.best = entry;

  next.kept.push_back(entry);
  Selection selection = select_kept(std::move(next.kept), state_->rule());
  next.kept = std::move(selection.kept);
  for (CheckpointEntry& loser : selection.evicted) {
    const bool has_files = loser.sequence != entry.sequence || save_.is_numbered;
    if (has_files) next.evicting.push_back(std::move(loser));
  }
  // A stem that came back to stay: a repeated epoch may even give the very same bytes.
  std::erase_if(next.evicting,
                [&](const auto& loser) { return contains_stem(next.kept, loser.stem); });

  std::erase_if(next.ended_stages, [&](const auto& ended) { return ended.stage == entry.stage; });
  take_ended_stage(next);
  return next;
}

// True where the job has ended the stage with this epoch since the index was made.
bool EpochPublisher::take_ended_stage(CheckpointIndex& next) {
  const auto is_of_this = [&](const EndedStage& ended) {
    return ended.sequence == save_.entry.sequence;
  };
  const auto ending = std::ranges::find_if(state_->ending_stages, is_of_this);
  if (ending == state_->ending_stages.end()) return false;
  next.ended_stages.push_back(*ending);
  std::erase_if(state_->ending_stages, is_of_this);
  return true;
}

// Step 10. Changes `next` to what is true where a link fails: an epoch without numbered files of
// its own lives in last_full.pth only, and the next save replaces that.
Status EpochPublisher::link_names(CheckpointIndex& next) {
  const CheckpointEntry& entry = save_.entry;
  Status first_error;
  const auto is_linked = [&](std::string_view from, std::string_view to) {
    const Status status = link_pair(*state_, from, to);
    if (first_error.is_ok()) first_error = status;
    return status.is_ok();
  };
  // Fewer saves succeeded than were planned, so this one earned a place after all.
  if (!save_.is_numbered && contains(next.kept, entry.sequence) &&
      !is_linked(kLastBase, entry.stem)) {
    std::erase_if(next.kept, [&](const auto& kept) { return kept.sequence == entry.sequence; });
  }
  const bool has_numbered_files = contains(next.kept, entry.sequence);
  if (next.best->sequence == entry.sequence) {
    state_->is_best_linked = is_linked(has_numbered_files ? entry.stem : kLastBase, kBestBase);
    if (!state_->is_best_linked && !has_numbered_files) next.best = state_->index.best;
  } else if (!state_->is_best_linked && contains(next.kept, next.best->sequence)) {
    state_->is_best_linked = is_linked(next.best->stem, kBestBase);
  }
  if (save_.is_numbered) is_linked(entry.stem, kLastBase);
  return first_error;
}

// False where `next` has changed meanwhile, and has to be written again.
bool EpochPublisher::enter(CheckpointIndex& next) {
  std::lock_guard lock(state_->state_mutex);
  if (take_ended_stage(next)) return false;
  state_->index = next;
  std::erase_if(state_->pending, [&](const PlannedSave& save) {
    return save.entry.sequence == save_.entry.sequence;
  });
  is_entered_ = true;
  return true;
}

void EpochPublisher::withdraw() {
  std::lock_guard lock(state_->state_mutex);
  std::erase_if(state_->pending, [&](const PlannedSave& save) {
    return save.entry.sequence == save_.entry.sequence;
  });
  std::erase_if(state_->ending_stages,
                [&](const EndedStage& ended) { return ended.sequence == save_.entry.sequence; });
  if (save_.is_numbered) state_->withdrawn.push_back(save_);
}

// A run of another form may have left its best and last here. Ours have taken their place, as they
// take that of links with the same names; numbered files stay. Once for all: only we write here.
void EpochPublisher::remove_links_of_other_forms() {
  const auto names = state_->directory->list();
  if (!names.is_ok()) return;
  state_->has_only_own_links = true;
  for (const std::string& name : *names) {
    if (!is_link_name(name) || form_of_name(name) == state_->options.form.form) continue;
    Result<std::unique_ptr<File>> file = evict_file(*state_->directory, name);
    if (file.is_ok()) {
      state_->closer.close(std::move(file).value());
    } else {
      log_warning(file.status().with_context("a link of an earlier run stays").to_string());
    }
  }
}

// A save that failed after its full file was committed left that file without an entry.
void EpochPublisher::remove_half_written() {
  std::vector<PlannedSave> withdrawn;
  {
    std::lock_guard lock(state_->state_mutex);
    withdrawn.swap(state_->withdrawn);
    std::erase_if(withdrawn, [&](const PlannedSave& save) {
      return contains_stem(state_->index.kept, save.entry.stem) ||
             state_->protected_stems.contains(save.entry.stem);
    });
  }
  const auto remove = [&](const std::string& name, uint64_t inode_before) {
    const Result<FileInfo> info = state_->directory->info(name);
    if (!info.is_ok() || info->inode == inode_before) return;
    Result<std::unique_ptr<File>> file = evict_file(*state_->directory, name);
    if (file.is_ok()) state_->closer.close(std::move(file).value());
  };
  for (const PlannedSave& save : withdrawn) {
    remove(state_->light_name(save.entry.stem), save.light_inode_before);
    remove(state_->full_name(save.entry.stem), save.full_inode_before);
  }
}

}  // namespace tintype
