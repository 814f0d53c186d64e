#include "engine/directory/resume_point.h"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "engine/directory/checkpoint_layout.h"
#include "engine/directory/file_digest.h"

namespace tintype {
namespace {

using ResumePoint = CheckpointDirectory::ResumePoint;

struct Candidate {
  CheckpointEntry entry;
  std::string base;
};

CheckpointIndex published_index(DirectoryState& state) {
  std::lock_guard lock(state.state_mutex);
  return state.index;
}

// `first_base` in front, then everything else: for best by rank, for last by age.
std::vector<Candidate> list_candidates(const DirectoryState& state, const CheckpointIndex& index,
                                       bool is_best_wanted) {
  std::vector<Candidate> candidates;
  for (const CheckpointEntry& entry : index.kept) candidates.push_back({entry, entry.stem});
  if (index.best.has_value()) candidates.push_back({*index.best, std::string(kBestBase)});
  if (index.last.has_value()) candidates.push_back({*index.last, std::string(kLastBase)});
  const std::string_view first_base = is_best_wanted ? kBestBase : kLastBase;
  std::sort(candidates.begin(), candidates.end(), [&](const auto& a, const auto& b) {
    if (a.entry.sequence == b.entry.sequence) return a.base == first_base && b.base != first_base;
    return is_best_wanted ? ranks_before(a.entry, b.entry, state.rule())
                          : a.entry.sequence > b.entry.sequence;
  });
  return candidates;
}

Status check_candidate(DirectoryState& state, const Candidate& candidate) {
  const std::string name = state.full_name(candidate.base);
  TINTYPE_ASSIGN_OR_RETURN(const FileDigest digest, read_digest(*state.caller_directory, name));
  if (digest != candidate.entry.full) {
    return Status::corruption("'" + state.path_of(name) + "' is not the file that was saved as " +
                              candidate.entry.stem);
  }
  return check_full_file(state, *state.caller_directory, name);
}

// A file that an epoch cannot be resumed from, by all names that lead to it.
struct Rejected {
  uint64_t sequence = 0;
  std::optional<uint64_t> inode;
  std::string names;
  Status reason;
};

std::optional<uint64_t> inode_of(const DirectoryState& state, const std::string& name) {
  const Result<FileInfo> info = state.caller_directory->info(name);
  return info.is_ok() ? std::optional(info->inode) : std::nullopt;
}

// The first that a job can go on from, and what stands before it. What is known to be damaged is
// neither read nor told again under its other names.
std::optional<Candidate> find_usable(DirectoryState& state,
                                     const std::vector<Candidate>& candidates,
                                     std::vector<Rejected>& rejected) {
  for (const Candidate& candidate : candidates) {
    const std::string name = state.full_name(candidate.base);
    const uint64_t sequence = candidate.entry.sequence;
    const std::optional<uint64_t> inode = inode_of(state, name);
    if (inode.has_value() && !rejected.empty() && rejected.back().inode == inode &&
        rejected.back().sequence == sequence) {
      rejected.back().names += ", " + name;
      continue;
    }
    Status status = check_candidate(state, candidate);
    if (status.is_ok()) return candidate;
    rejected.push_back({sequence, inode, name, std::move(status)});
  }
  return std::nullopt;
}

ResumePoint point_for(const DirectoryState& state, const Candidate& candidate) {
  return {.path = state.path_of(state.full_name(candidate.base)),
          .stage = candidate.entry.stage,
          .epoch = candidate.entry.epoch,
          .sequence = candidate.entry.sequence,
          .is_named = false,
          .notes = {}};
}

// A file that the index does not know speaks for itself.
Result<ResumePoint> point_from_file(const DirectoryState& state, const std::string& path) {
  if (!state.options.read_facts) {
    return Status::unsupported("'" + path + "' is not in the index of its directory");
  }
  TINTYPE_ASSIGN_OR_RETURN(const FullFileFacts facts, state.options.read_facts(path));
  return ResumePoint{.path = path,
                     .stage = facts.stage,
                     .epoch = facts.epoch,
                     .sequence = 0,
                     .is_named = false,
                     .notes = {}};
}

Result<ResumePoint> locate_by_age_or_rank(DirectoryState& state, bool is_best_wanted) {
  const CheckpointIndex index = published_index(state);
  std::vector<Rejected> rejected;
  const std::optional<Candidate> usable =
      find_usable(state, list_candidates(state, index, is_best_wanted), rejected);
  std::vector<std::string> notes;
  for (const Rejected& one : rejected) {
    notes.push_back(one.names + " cannot be used: " + std::string(one.reason.message()));
  }
  if (usable.has_value()) {
    ResumePoint point = point_for(state, *usable);
    for (std::string& note : notes) note += "; resuming from " + usable->entry.stem + " instead";
    point.notes = std::move(notes);
    return point;
  }
  // Without an index, the names still mean what they say.
  const std::string name = state.full_name(is_best_wanted ? kBestBase : kLastBase);
  if (check_full_file(state, *state.caller_directory, name).is_ok()) {
    Result<ResumePoint> point = point_from_file(state, state.path_of(name));
    if (point.is_ok()) {
      point->notes = std::move(notes);
      point->notes.push_back(name + " is not in the index; it is of another run");
      return point;
    }
    notes.push_back(std::string(point.status().message()));
  }
  std::string text = "no checkpoint to resume from in '" + state.path + "'";
  for (const std::string& note : notes) text += "; " + note;
  return Status(StatusCode::not_found, std::move(text), ENOENT)
      .with_path(state.path)
      .with_remedy("start without resume, or name another file");
}

Result<ResumePoint> locate_indexed(DirectoryState& state, const Candidate& candidate) {
  TINTYPE_RETURN_IF_ERROR(check_candidate(state, candidate));
  ResumePoint point = point_for(state, candidate);
  point.is_named = true;
  return point;
}

Status no_such_checkpoint(const DirectoryState& state, const std::string& name,
                          const CheckpointIndex& index) {
  std::string known;
  for (const CheckpointEntry& entry : index.kept) known += (known.empty() ? "" : ", ") + entry.stem;
  return errno_status(
      ENOENT, "resume from", state.path_of(name),
      (known.empty() ? "the directory's index lists no checkpoints"
                     : "the directory's checkpoints are " + known + ": name one of them") +
          ", or start without resume");
}

// By base: a stem, or a file of this directory.
Result<ResumePoint> locate_base(DirectoryState& state, const std::string& base) {
  const CheckpointIndex index = published_index(state);
  for (const CheckpointEntry& entry : index.kept) {
    if (entry.stem == base) return locate_indexed(state, {entry, base});
  }
  const std::string name = state.full_name(base);
  const Result<FileDigest> digest = read_digest(*state.caller_directory, name);
  for (const CheckpointEntry& loser : index.evicting) {  // still there
    if (digest.is_ok() && loser.full == *digest) return locate_indexed(state, {loser, base});
  }
  if (state.caller_directory->info(name).status().code() == StatusCode::not_found) {
    return no_such_checkpoint(state, name, index);
  }
  TINTYPE_RETURN_IF_ERROR(check_full_file(state, *state.caller_directory, name));
  TINTYPE_ASSIGN_OR_RETURN(ResumePoint point, point_from_file(state, state.path_of(name)));
  point.is_named = true;
  return point;
}

Result<ResumePoint> locate_path(DirectoryState& state, const std::string& path) {
  const size_t slash = path.rfind('/');
  const std::string name = slash == std::string::npos ? path : path.substr(slash + 1);
  const bool is_here = slash == std::string::npos || path.substr(0, slash) == state.path;
  const std::optional<NumberedName> numbered = parse_numbered_name(name);
  const bool stands_here = state.caller_directory->info(name).is_ok();
  if (is_here && stands_here && numbered.has_value() && numbered->is_full) {
    return locate_base(state, numbered->stem);
  }
  const std::string found = is_here && stands_here ? state.path_of(name) : path;
  if (state.options.check_file) {
    const Status status = state.options.check_file(found);
    const bool is_bare_name = slash == std::string::npos;  // more likely a checkpoint than a path
    if (status.code() == StatusCode::not_found && is_bare_name) {
      return no_such_checkpoint(state, name, published_index(state));
    }
    TINTYPE_RETURN_IF_ERROR(status);
  }
  TINTYPE_ASSIGN_OR_RETURN(ResumePoint point, point_from_file(state, found));
  point.is_named = true;
  return point;
}

}  // namespace

Status check_full_file(const DirectoryState& state, Directory& directory, std::string_view name) {
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo info, directory.info(name));
  if (info.kind != FileInfo::Kind::regular) {
    return Status::invalid_argument("'" + state.path_of(name) + "' is not a regular file");
  }
  if (state.options.check_file) return state.options.check_file(state.path_of(name));
  TINTYPE_ASSIGN_OR_RETURN(const std::unique_ptr<File> file, directory.open(name, false));
  return check_end_records(*file);
}

Result<ResumePoint> locate_resume_point(DirectoryState& state, const std::string& what) {
  if (what == kLastBase || what == std::string(kLastBase) + "_full") {
    return locate_by_age_or_rank(state, false);
  }
  if (what == kBestBase || what == std::string(kBestBase) + "_full") {
    return locate_by_age_or_rank(state, true);
  }
  if (what.empty()) return Status::invalid_argument("resume names no checkpoint");
  std::string_view stem = what;
  if (stem.ends_with("_full")) stem.remove_suffix(5);
  if (parse_stem(stem).has_value()) return locate_base(state, std::string(stem));
  return locate_path(state, what);
}

}  // namespace tintype
