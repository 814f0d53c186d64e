#include "engine/directory/reconcile.h"

#include <algorithm>
#include <cerrno>
#include <limits>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "engine/directory/checkpoint_layout.h"
#include "engine/directory/file_digest.h"
#include "engine/directory/resume_point.h"
#include "io/disk/links.h"

namespace tintype {
namespace {

// An entry of the index, and the bases under which its files may stand.
struct Wanted {
  CheckpointEntry entry;
  std::vector<std::string_view> bases;
  bool is_loser = false;  // may be gone
};

// One epoch whose full file was found, and under which base.
struct Survivor {
  CheckpointEntry entry;
  std::string base;
  bool is_adopted = false;
  bool has_light = false;
  bool is_light_new = false;

  bool is_numbered() const { return base == entry.stem; }
};

// Not a matter of the file: giving its checkpoint up would be wrong.
bool is_unreadable_now(const Status& status) {
  return status.code() == StatusCode::resource_exhausted || status.error_number() == EACCES ||
         status.error_number() == EPERM;
}

class Reconciler {
 public:
  Reconciler(DirectoryState& state, CheckpointIndex found)
      : state_(state), directory_(*state.directory), index_(std::move(found)) {}

  Result<CheckpointIndex> run();

 private:
  std::vector<Wanted> list_wanted() const;
  Status look_for(const Wanted& wanted);
  void drop(const CheckpointEntry& entry, const Status& reason);
  std::string reason_text(const Status& reason) const;
  void say_what_is_left();
  Status check_is(const CheckpointEntry& entry, std::string_view base) const;
  Status adopt_unindexed();
  void adopt(const std::string& name, std::string_view base);
  bool is_newer_than_index(const FullFileFacts& facts) const;
  Status check_main_metric() const;
  void score(CheckpointEntry& entry);
  void restore_light(Survivor& survivor);
  void select();
  void add_losers(std::vector<CheckpointEntry> losers);
  Status link(const CheckpointEntry& entry, std::string_view to);

  bool matches(std::string_view name, const FileDigest& digest) const {
    const Result<FileDigest> found = read_digest(directory_, name);
    return found.is_ok() && *found == digest;
  }
  bool is_known_content(const FileDigest& full) const {
    return std::any_of(survivors_.begin(), survivors_.end(),
                       [&](const Survivor& survivor) { return survivor.entry.full == full; });
  }
  const Survivor* find(uint64_t sequence) const {
    for (const Survivor& survivor : survivors_) {
      if (survivor.entry.sequence == sequence) return &survivor;
    }
    return nullptr;
  }
  void note(std::string text) { state_.notes.push_back(std::move(text)); }

  DirectoryState& state_;
  Directory& directory_;
  CheckpointIndex index_;
  std::vector<Survivor> survivors_;
  std::vector<size_t> dropping_notes_;  // positions in state_.notes
  bool are_epochs_added_ = false;
};

Result<CheckpointIndex> Reconciler::run() {
  for (const Wanted& wanted : list_wanted()) TINTYPE_RETURN_IF_ERROR(look_for(wanted));
  TINTYPE_RETURN_IF_ERROR(adopt_unindexed());
  TINTYPE_RETURN_IF_ERROR(check_main_metric());
  if (are_epochs_added_) index_.resumed_at.reset();
  for (Survivor& survivor : survivors_) {
    score(survivor.entry);
    restore_light(survivor);
  }
  select();
  say_what_is_left();
  for (const CheckpointEntry& entry : index_.kept) {
    if (!find(entry.sequence)->is_numbered()) TINTYPE_RETURN_IF_ERROR(link(entry, entry.stem));
  }
  // best before last: what is best may live in last_full.pth only.
  if (index_.best.has_value()) TINTYPE_RETURN_IF_ERROR(link(*index_.best, kBestBase));
  if (index_.last.has_value()) TINTYPE_RETURN_IF_ERROR(link(*index_.last, kLastBase));
  return std::move(index_);
}

// Each entry once: what is best or last mostly is among the kept as well. Losers that still stand
// take part: the rule by which they lost may be another one now, or the file that beat them gone.
std::vector<Wanted> Reconciler::list_wanted() const {
  std::vector<Wanted> wanted;
  const auto add = [&](const CheckpointEntry& entry, std::vector<std::string_view> bases,
                       bool is_loser = false) {
    for (Wanted& known : wanted) {
      if (known.entry.sequence != entry.sequence) continue;
      known.bases.insert(known.bases.end(), bases.begin(), bases.end());
      return;
    }
    wanted.push_back({entry, std::move(bases), is_loser});
  };
  for (const CheckpointEntry& entry : index_.kept) add(entry, {entry.stem});
  if (index_.best.has_value()) add(*index_.best, {kBestBase, kLastBase});
  if (index_.last.has_value()) add(*index_.last, {kLastBase, kBestBase});
  for (const CheckpointEntry& entry : index_.evicting) add(entry, {entry.stem}, true);
  return wanted;
}

Status Reconciler::look_for(const Wanted& wanted) {
  Status first_error;
  for (const std::string_view base : wanted.bases) {
    const Status status = check_is(wanted.entry, base);
    if (status.is_ok()) {
      survivors_.push_back({.entry = wanted.entry, .base = std::string(base)});
      return Status::ok();
    }
    if (is_unreadable_now(status) && !wanted.is_loser) return status;
    if (first_error.is_ok()) first_error = status;
  }
  if (!wanted.is_loser) drop(wanted.entry, first_error);
  return Status::ok();
}

// A stage that ended with it has to run that epoch again.
void Reconciler::drop(const CheckpointEntry& entry, const Status& reason) {
  std::erase_if(index_.ended_stages,
                [&](const EndedStage& ended) { return ended.sequence == entry.sequence; });
  dropping_notes_.push_back(state_.notes.size());
  note(entry.stem + " cannot be used and is no longer in the index: " + reason_text(reason));
}

// The caller of the notes names the directory before each.
std::string Reconciler::reason_text(const Status& reason) const {
  std::string text(reason.message());
  const std::string folder = "'" + state_.path_of("");
  for (size_t at = 0; (at = text.find(folder, at)) != std::string::npos; ++at) {
    text.erase(at + 1, folder.size() - 1);
  }
  return text;
}

// What a job that resumes goes on from instead is all that is to be done about the damage.
void Reconciler::say_what_is_left() {
  std::string text = "no other checkpoint is left";
  if (index_.last.has_value() && index_.best.has_value()) {
    text = fmt::format("last is now {}, best {}", index_.last->stem, index_.best->stem);
  }
  for (const size_t i : dropping_notes_) state_.notes[i] += "; " + text;
}

Status Reconciler::check_is(const CheckpointEntry& entry, std::string_view base) const {
  const std::string name = state_.full_name(base);
  TINTYPE_ASSIGN_OR_RETURN(const FileDigest digest, read_digest(directory_, name));
  const Status status = check_full_file(state_, directory_, name);
  if (!status.is_ok() || digest == entry.full) return status;
  return Status::corruption("'" + state_.path_of(name) + "' is another file than the one saved");
}

Status Reconciler::adopt_unindexed() {
  if (!state_.options.read_facts) return Status::ok();
  TINTYPE_ASSIGN_OR_RETURN(std::vector<std::string> names, directory_.list());
  std::vector<NumberedName> numbered;
  for (const std::string& name : names) {
    const std::optional<NumberedName> parsed = parse_numbered_name(name);
    const bool is_ours = parsed.has_value() && parsed->form == state_.options.form.form;
    if (is_ours && parsed->is_full) numbered.push_back(*parsed);
  }
  std::sort(numbered.begin(), numbered.end(), [](const auto& a, const auto& b) {
    return a.stage != b.stage ? a.stage < b.stage : a.epoch < b.epoch;
  });
  // What last holds is the newest, whatever its stage is called.
  const Result<FileDigest> last = read_digest(directory_, state_.full_name(kLastBase));
  std::stable_partition(numbered.begin(), numbered.end(), [&](const NumberedName& name) {
    return !last.is_ok() || !matches(state_.full_name(name.stem), *last);
  });
  for (const NumberedName& name : numbered) adopt(state_.full_name(name.stem), name.stem);
  adopt(state_.full_name(kBestBase), kBestBase);
  adopt(state_.full_name(kLastBase), kLastBase);
  return Status::ok();
}

void Reconciler::adopt(const std::string& name, std::string_view base) {
  const Result<FileDigest> digest = read_digest(directory_, name);
  if (!digest.is_ok() || is_known_content(*digest)) return;
  const bool is_loser = std::any_of(index_.evicting.begin(), index_.evicting.end(),
                                    [&](const auto& loser) { return loser.full == *digest; });
  if (is_loser || !check_full_file(state_, directory_, name).is_ok()) return;
  const Result<FullFileFacts> facts = state_.options.read_facts(state_.path_of(name));
  if (!facts.is_ok() || facts->run_id != index_.run_id || facts->epoch == 0 ||
      !check_stage_name(facts->stage).is_ok()) {
    return;
  }
  const std::string stem = stem_of(facts->stage, facts->epoch);
  if (base != kBestBase && base != kLastBase && stem != base) return;
  if (!is_newer_than_index(*facts)) return;
  CheckpointEntry entry{.stem = stem,
                        .stage = facts->stage,
                        .epoch = facts->epoch,
                        .sequence = index_.next_sequence++,
                        .score = 0,
                        .metrics = facts->metrics,
                        .full = *digest,
                        .light = {}};
  std::erase_if(index_.ended_stages, [&](const auto& ended) { return ended.stage == entry.stage; });
  are_epochs_added_ = true;
  note(name + " is not in the index; it is taken up as " + stem);
  survivors_.push_back({.entry = std::move(entry), .base = std::string(base), .is_adopted = true});
}

// A file of this run whose content the index does not know was saved after the index was written,
// or lost its place long ago and was not deleted. The epochs tell which: a job counts upwards from
// its last save, or from where it went back to.
bool Reconciler::is_newer_than_index(const FullFileFacts& facts) const {
  const std::string stem = stem_of(facts.stage, facts.epoch);
  if (std::any_of(index_.kept.begin(), index_.kept.end(),
                  [&](const auto& kept) { return kept.stem == stem; })) {
    return true;  // saved again
  }
  // So was an epoch that lived in `last` only and does not stand there any more.
  const auto& last = index_.last;
  if (last.has_value() && last->stem == stem && find(last->sequence) == nullptr) return true;
  if (index_.resumed_at.has_value()) {
    return facts.stage != index_.resumed_at->stage || facts.epoch > index_.resumed_at->epoch;
  }
  uint64_t newest = 0;
  const auto count_in = [&](const auto& known) {
    if (known.stage == facts.stage) newest = std::max(newest, known.epoch);
  };
  std::for_each(index_.kept.begin(), index_.kept.end(), count_in);
  std::for_each(index_.ended_stages.begin(), index_.ended_stages.end(), count_in);
  if (index_.best.has_value()) count_in(*index_.best);
  if (index_.last.has_value()) count_in(*index_.last);
  return facts.epoch > newest;
}

// Ranking by a metric that no epoch has would give best away to whatever is oldest.
Status Reconciler::check_main_metric() const {
  std::set<std::string> known;
  for (const Survivor& survivor : survivors_) {
    for (const auto& [name, value] : survivor.entry.metrics) known.insert(name);
  }
  const std::string& wanted = state_.options.main_metric;
  if (survivors_.empty() || known.contains(wanted)) return Status::ok();
  return Status::invalid_argument(
      fmt::format("no epoch in '{}' has the main metric '{}', which is to rank them; they have {}",
                  state_.path, wanted, fmt::join(known, ", ")),
      "set main_metric to one of these, or start in another logdir");
}

// The main metric may be another one than before.
void Reconciler::score(CheckpointEntry& entry) {
  for (const auto& [name, value] : entry.metrics) {
    if (name == state_.options.main_metric) {
      entry.score = value;
      return;
    }
  }
  entry.score = std::numeric_limits<double>::quiet_NaN();
  note(entry.stem + " has no metric '" + state_.options.main_metric + "' and ranks last");
}

// An adopted epoch's light file, if there is one, may be an earlier file of that name.
void Reconciler::restore_light(Survivor& survivor) {
  const std::string light = state_.light_name(survivor.base);
  survivor.has_light = survivor.entry.light != FileDigest{} &&
                       matches(light, survivor.entry.light) &&
                       check_full_file(state_, directory_, light).is_ok();
  if (survivor.has_light) return;
  Status status = Status::unsupported("nothing to make it with");
  if (state_.options.make_light) {
    status = state_.options.make_light(state_.path_of(state_.full_name(survivor.base)),
                                       state_.path_of(light));
  }
  const Result<FileDigest> digest = read_digest(directory_, light);
  survivor.has_light = status.is_ok() && digest.is_ok();
  survivor.is_light_new = survivor.has_light;
  survivor.entry.light = survivor.has_light ? *digest : FileDigest{};
  if (!survivor.has_light) {
    note(light + " is missing, damaged or of another epoch: " + status.to_string());
  } else if (!survivor.is_adopted) {
    note(light + " was missing, damaged or of another epoch; it was made again");
  }
}

void Reconciler::select() {
  std::vector<CheckpointEntry> entries;
  for (const Survivor& survivor : survivors_) entries.push_back(survivor.entry);
  index_.best.reset();
  index_.last.reset();
  for (const CheckpointEntry& entry : entries) {
    if (is_new_best(index_.best, entry, state_.rule())) index_.best = entry;
    if (!index_.last.has_value() || entry.sequence > index_.last->sequence) index_.last = entry;
  }
  Selection selection = select_kept(std::move(entries), state_.rule());
  index_.kept = std::move(selection.kept);
  add_losers(std::move(selection.evicted));
  std::erase_if(index_.evicting, [&](const CheckpointEntry& loser) {
    return std::any_of(index_.kept.begin(), index_.kept.end(),
                       [&](const auto& kept) { return kept.stem == loser.stem; });
  });
}

void Reconciler::add_losers(std::vector<CheckpointEntry> losers) {
  const auto is_listed = [&](const CheckpointEntry& loser) {
    return std::any_of(index_.evicting.begin(), index_.evicting.end(),
                       [&](const auto& known) { return known.sequence == loser.sequence; });
  };
  std::vector<std::string> stems;
  for (CheckpointEntry& loser : losers) {
    if (!find(loser.sequence)->is_numbered() || is_listed(loser)) continue;
    stems.push_back(loser.stem);
    index_.evicting.push_back(std::move(loser));
  }
  if (stems.empty()) return;
  note(fmt::format("save_n_best is {}: {} lost the place and will be deleted once the job resumes",
                   state_.options.save_n_best, fmt::join(stems, ", ")));
}

Status Reconciler::link(const CheckpointEntry& entry, std::string_view to) {
  const Survivor& survivor = *find(entry.sequence);
  if (!matches(state_.full_name(to), entry.full)) {
    TINTYPE_RETURN_IF_ERROR(
        move_link(directory_, state_.full_name(survivor.base), state_.full_name(to)));
  }
  if (!survivor.has_light) return Status::ok();
  // The damaged file that a new one replaces may have its digest.
  if (!survivor.is_light_new && matches(state_.light_name(to), entry.light)) return Status::ok();
  return move_link(directory_, state_.light_name(survivor.base), state_.light_name(to));
}

}  // namespace

Result<CheckpointIndex> reconcile(DirectoryState& state, CheckpointIndex found) {
  return Reconciler(state, std::move(found)).run();
}

}  // namespace tintype
