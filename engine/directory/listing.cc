#include "engine/directory/listing.h"

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "engine/directory/checkpoint_layout.h"
#include "engine/directory/directory_lock.h"
#include "engine/directory/directory_state.h"
#include "engine/directory/file_digest.h"

namespace tintype {
namespace {

using Standing = ListedCheckpoint::Standing;

bool is_whole_or_absent(const std::optional<ListedFile>& file) {
  return !file.has_value() || file->status.is_ok();
}

std::string without_slashes_behind(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

bool names_checkpoint(const std::string& name) {
  return name == kIndexName || is_link_name(name) || parse_numbered_name(name).has_value();
}

Status no_run(int error_number, const std::string& logdir) {
  return errno_status(error_number, "list the checkpoints of", logdir,
                      "name the folder of a run, the one with checkpoints/ in it");
}

Result<std::unique_ptr<Directory>> open_checkpoints(FileSystem& file_system,
                                                    const std::string& logdir) {
  const std::string folder = logdir + "/" + std::string(kCheckpointsFolder);
  auto opened = file_system.open_directory(folder);
  const int error_number = opened.status().error_number();
  if (error_number == ENOTDIR) return no_run(error_number, logdir);
  if (error_number != ENOENT) return opened;
  auto itself = file_system.open_directory(logdir);
  if (itself.status().code() == StatusCode::not_found) return no_run(ENOENT, logdir);
  TINTYPE_RETURN_IF_ERROR(itself.status());
  TINTYPE_ASSIGN_OR_RETURN(const std::vector<std::string> names, (*itself)->list());
  if (std::any_of(names.begin(), names.end(), names_checkpoint)) return itself;
  return no_run(ENOENT, logdir);
}

class Lister {
 public:
  explicit Lister(Directory& directory) : directory_(directory) {}

  Result<DirectoryListing> run() {
    listing_.path = directory_.path();
    TINTYPE_ASSIGN_OR_RETURN(listing_.index, read_index(directory_));
    TINTYPE_ASSIGN_OR_RETURN(names_, directory_.list());
    if (listing_.index.has_value()) add_indexed(*listing_.index);
    add_unindexed();
    for (const FileForm form : kFileForms) {
      add_link(kBestBase, form, &ListedCheckpoint::is_best);
      add_link(kLastBase, form, &ListedCheckpoint::is_last);
    }
    TINTYPE_ASSIGN_OR_RETURN(listing_.orphans, find_orphans(directory_, is_whole_file));
    const Result<std::string> holder = DirectoryLock::holder_of(directory_);
    if (holder.is_ok()) listing_.holder = *holder;
    if (!holder.is_ok()) note("whether a run writes here", holder.status());
    return std::move(listing_);
  }

 private:
  void note(const std::string& about, const Status& status) {
    listing_.notes.push_back(about + ": " + status.to_string());
  }

  void add_indexed(const CheckpointIndex& index) {
    for (const CheckpointEntry& entry : index.kept) add(entry, entry.stem, Standing::kept);
    if (index.best.has_value()) add(*index.best, kBestBase, Standing::linked);
    if (index.last.has_value()) add(*index.last, kLastBase, Standing::linked);
    for (const CheckpointEntry& entry : index.evicting) add(entry, entry.stem, Standing::losing);
  }

  void add(const CheckpointEntry& entry, std::string_view base, Standing standing) {
    for (const ListedCheckpoint& known : listing_.checkpoints) {
      if (known.entry->sequence == entry.sequence) return;
    }
    ListedCheckpoint checkpoint;
    checkpoint.name = entry.stem;
    checkpoint.standing = standing;
    checkpoint.entry = entry;
    const FileForm form = listing_.index->form;
    checkpoint.full = judge(full_name(base, form), entry.full);
    // What was adopted, and what another program wrote, may have no light file.
    if (entry.light != FileDigest{}) checkpoint.light = judge(light_name(base, form), entry.light);
    // An eviction ends with the index that forgets it; until then its files may be gone.
    const bool is_gone = checkpoint.full->status.code() == StatusCode::not_found;
    if (standing == Standing::losing && is_gone) return;
    listing_.checkpoints.push_back(std::move(checkpoint));
  }

  std::optional<ListedFile> find(const std::string& name) {
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) return std::nullopt;
    return judge(name, std::nullopt);
  }

  ListedFile judge(std::string name, const std::optional<FileDigest>& expected) {
    ListedFile file;
    const auto look = [&]() -> Status {
      TINTYPE_ASSIGN_OR_RETURN(const FileDigest digest, read_digest(directory_, name));
      file.size_bytes = digest.size_bytes;
      TINTYPE_ASSIGN_OR_RETURN(const auto opened, directory_.open(name, false));
      TINTYPE_ASSIGN_OR_RETURN(const FileInfo info, opened->info());
      if (inodes_.insert(info.inode).second) listing_.disk_bytes += info.size_bytes;
      TINTYPE_RETURN_IF_ERROR(check_end_records(*opened));
      if (!expected.has_value() || digest == *expected) return Status::ok();
      return Status::corruption("'" + opened->path() + "' is another file than the one saved");
    };
    file.status = look();
    file.name = std::move(name);
    return file;
  }

  void add_unindexed() {
    std::vector<NumberedName> numbered;
    for (const std::string& name : names_) {
      const std::optional<NumberedName> parsed = parse_numbered_name(name);
      if (!parsed.has_value() || is_indexed(*parsed)) continue;
      const auto is_same = [&](const NumberedName& other) {
        return other.stem == parsed->stem && other.form == parsed->form;
      };
      if (std::none_of(numbered.begin(), numbered.end(), is_same)) numbered.push_back(*parsed);
    }
    std::sort(numbered.begin(), numbered.end(), [](const auto& a, const auto& b) {
      return a.stage != b.stage ? a.stage < b.stage : a.epoch < b.epoch;
    });
    for (const NumberedName& name : numbered) add_unindexed(name.stem, name.form);
  }

  void add_unindexed(std::string_view base, FileForm form) {
    ListedCheckpoint checkpoint;
    checkpoint.name = base;
    checkpoint.full = find(full_name(base, form));
    checkpoint.light = find(light_name(base, form));
    listing_.checkpoints.push_back(std::move(checkpoint));
  }

  bool is_indexed(const NumberedName& name) const {
    const auto is_it = [&](const CheckpointEntry& entry) { return entry.stem == name.stem; };
    const auto& index = listing_.index;
    return index.has_value() && index->form == name.form &&
           (std::any_of(index->kept.begin(), index->kept.end(), is_it) ||
            std::any_of(index->evicting.begin(), index->evicting.end(), is_it));
  }

  // Marks the checkpoint that best or last shows now: by content, as a copy may stand there where
  // the file system has no links. What an earlier run left of another form is none of this run's.
  void add_link(std::string_view base, FileForm form, bool ListedCheckpoint::*mark) {
    const bool has_full = find(full_name(base, form)).has_value();
    const std::string name = has_full ? full_name(base, form) : light_name(base, form);
    const Result<FileDigest> digest = read_digest(directory_, name);
    if (digest.status().code() == StatusCode::not_found) return;
    if (!digest.is_ok()) return note(name, digest.status());
    const auto& index = listing_.index;
    const bool is_current = !index.has_value() || !index->last.has_value() || index->form == form;
    for (ListedCheckpoint& checkpoint : listing_.checkpoints) {
      const std::optional<ListedFile>& file = has_full ? checkpoint.full : checkpoint.light;
      if (!file.has_value()) continue;
      const Result<FileDigest> shown = read_digest(directory_, file->name);
      if (!shown.is_ok() || *shown != *digest) continue;
      if (is_current) checkpoint.*mark = true;
      return;
    }
    add_unindexed(base, form);
    listing_.checkpoints.back().*mark = is_current;
  }

  Directory& directory_;
  std::vector<std::string> names_;
  std::set<uint64_t> inodes_;
  DirectoryListing listing_;
};

}  // namespace

bool ListedCheckpoint::is_sound() const {
  return is_whole_or_absent(full) && is_whole_or_absent(light);
}

Result<DirectoryListing> list_checkpoints(FileSystem& file_system, const std::string& logdir) {
  TINTYPE_ASSIGN_OR_RETURN(const auto directory,
                           open_checkpoints(file_system, without_slashes_behind(logdir)));
  return Lister(*directory).run();
}

Result<std::vector<CleanedFolder>> clean_directory(FileSystem& file_system,
                                                   const std::string& directory, bool is_dry_run) {
  const std::string path = without_slashes_behind(directory);
  std::vector<std::unique_ptr<Directory>> folders(1);
  TINTYPE_ASSIGN_OR_RETURN(folders[0], file_system.open_directory(path));
  auto checkpoints = file_system.open_directory(path + "/" + std::string(kCheckpointsFolder));
  const bool is_there = checkpoints.status().code() != StatusCode::not_found &&
                        checkpoints.status().error_number() != ENOTDIR;
  if (is_there) {
    TINTYPE_RETURN_IF_ERROR(checkpoints.status());
    folders.push_back(std::move(checkpoints).value());
  }
  std::vector<std::unique_ptr<DirectoryLock>> locks;
  for (const auto& folder : folders) {
    TINTYPE_ASSIGN_OR_RETURN(auto lock, DirectoryLock::borrow(*folder));
    locks.push_back(std::move(lock));
  }
  std::vector<CleanedFolder> cleaned;
  for (const auto& folder : folders) {
    auto orphans =
        is_dry_run ? find_orphans(*folder, is_whole_file) : remove_orphans(*folder, is_whole_file);
    TINTYPE_RETURN_IF_ERROR(orphans.status());
    for (const Orphan& orphan : *orphans) TINTYPE_RETURN_IF_ERROR(orphan.removal);
    cleaned.push_back({folder->path(), std::move(*orphans)});
  }
  return cleaned;
}

}  // namespace tintype
