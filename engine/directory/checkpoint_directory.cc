#include "engine/directory/checkpoint_directory.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <climits>
#include <random>
#include <set>
#include <utility>

#include "engine/directory/checkpoint_layout.h"
#include "engine/directory/directory_state.h"
#include "engine/directory/file_digest.h"
#include "engine/directory/publisher.h"
#include "engine/directory/reconcile.h"
#include "engine/directory/resume_point.h"
#include "io/disk/orphans.h"

namespace tintype {
namespace {

Status check_options(const CheckpointDirectoryOptions& options) {
  if (options.logdir.empty()) {
    return Status::invalid_argument("logdir is empty", "name the folder of the experiment");
  }
  if (options.main_metric.empty()) return Status::invalid_argument("main_metric is empty");
  return check_metrics_filename(options.metrics_filename);
}

// Fixed at the call: a later chdir changes nothing.
Result<std::string> absolute_path(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  if (path.front() == '/') return path;
  std::array<char, PATH_MAX> here{};
  if (::getcwd(here.data(), here.size()) == nullptr) {
    return errno_status(errno, "find the working directory for", path);
  }
  return std::string(here.data()) + "/" + path;
}

std::string make_run_id() {
  constexpr std::string_view digits = "0123456789abcdef";
  std::random_device device;
  std::string id;
  for (int word = 0; word < 4; ++word) {
    for (uint32_t rest = device(), i = 0; i < 8; ++i, rest >>= 4) id += digits[rest & 15u];
  }
  return id;
}

CheckpointIndex empty_index(const CheckpointDirectoryOptions& options) {
  CheckpointIndex index;
  index.run_id = make_run_id();
  index.main_metric = options.main_metric;
  index.is_metric_minimized = options.is_metric_minimized;
  index.save_n_best = options.save_n_best;
  index.form = options.form.form;
  return index;
}

// A run keeps its form: with another, best and last of the old one would stay beside the new.
Status check_form(const DirectoryState& state, FileForm standing) {
  if (standing == state.options.form.form) return Status::ok();
  return Status::invalid_argument(
      "the checkpoints in '" + state.path + "' end in '" + light_name("", standing) +
          "', this run's would end in '" + state.light_name("") + "'",
      "resume it with the compression that it was begun with, or begin a new logdir");
}

Result<std::set<FileForm>> forms_of_checkpoints(Directory& directory) {
  TINTYPE_ASSIGN_OR_RETURN(const std::vector<std::string> names, directory.list());
  std::set<FileForm> forms;
  for (const std::string& name : names) {
    if (is_link_name(name) || parse_numbered_name(name).has_value()) {
      forms.insert(form_of_name(name));
    }
  }
  return forms;
}

// Where the index is gone, best and last still say of which run they are.
std::optional<CheckpointIndex> rebuild_index(DirectoryState& state) {
  if (!state.options.read_facts) return std::nullopt;
  for (const std::string_view base : {kLastBase, kBestBase}) {
    const Result<FullFileFacts> facts =
        state.options.read_facts(state.path_of(state.full_name(base)));
    if (!facts.is_ok() || facts->run_id.empty()) continue;
    state.notes.push_back("the index " + std::string(kIndexName) +
                          " is missing: it is made again from the files; which stages had ended is "
                          "not known");
    CheckpointIndex index = empty_index(state.options);
    index.run_id = facts->run_id;
    return index;
  }
  return std::nullopt;
}

Result<CheckpointIndex> start_index(DirectoryState& state) {
  std::optional<CheckpointIndex> found;
  if (state.options.is_resumed) {
    TINTYPE_ASSIGN_OR_RETURN(found, read_index(*state.directory));
    if (!found.has_value()) found = rebuild_index(state);
  }
  if (!found.has_value()) {
    TINTYPE_ASSIGN_OR_RETURN(const auto forms, forms_of_checkpoints(*state.directory));
    state.has_foreign_run = !forms.empty() && !state.options.is_resumed;
    if (state.options.is_resumed && !forms.empty() && !forms.contains(state.options.form.form)) {
      return check_form(state, *forms.begin());
    }
    return empty_index(state.options);
  }
  const bool is_empty = found->kept.empty() && !found->best.has_value() && !found->last.has_value();
  if (!is_empty) TINTYPE_RETURN_IF_ERROR(check_form(state, found->form));
  TINTYPE_ASSIGN_OR_RETURN(CheckpointIndex index, reconcile(state, std::move(*found)));
  index.form = state.options.form.form;
  index.main_metric = state.options.main_metric;
  index.is_metric_minimized = state.options.is_metric_minimized;
  index.save_n_best = state.options.save_n_best;
  return index;
}

Status open_folder(DirectoryState& state) {
  TINTYPE_ASSIGN_OR_RETURN(const std::string logdir, absolute_path(state.options.logdir));
  state.path = (logdir == "/" ? "" : logdir) + "/" + std::string(kCheckpointsFolder);
  FileSystem& file_system = state.file_system();
  TINTYPE_RETURN_IF_ERROR(file_system.create_directories(state.path));
  TINTYPE_ASSIGN_OR_RETURN(state.directory, file_system.open_directory(state.path));
  TINTYPE_ASSIGN_OR_RETURN(state.caller_directory, file_system.open_directory(state.path));
  TINTYPE_ASSIGN_OR_RETURN(state.lock, DirectoryLock::take(*state.directory));
  return remove_orphans(file_system, state.path, is_whole_file).status();
}

std::optional<double> find_metric(const Metrics& metrics, const std::string& name) {
  for (const auto& [key, value] : metrics) {
    if (key == name) return value;
  }
  return std::nullopt;
}

Status no_main_metric(const std::string& name, const Metrics& metrics) {
  std::string known;
  for (const auto& [key, value] : metrics) known += (known.empty() ? "" : ", ") + key;
  return Status::invalid_argument(
      "the main metric '" + name + "' is not among the metrics (" + known + ")",
      "pass it, or set main_metric");
}

uint64_t inode_of(Directory& directory, const std::string& name) {
  const Result<FileInfo> info = directory.info(name);
  return info.is_ok() ? info->inode : 0;
}

}  // namespace

Result<std::unique_ptr<CheckpointDirectory>> CheckpointDirectory::open(
    CheckpointDirectoryOptions options) {
  TINTYPE_RETURN_IF_ERROR(check_options(options));
  auto state = std::make_shared<DirectoryState>(std::move(options));
  {
    std::lock_guard disk_lock(state->disk_mutex);
    TINTYPE_RETURN_IF_ERROR(open_folder(*state));
    TINTYPE_ASSIGN_OR_RETURN(state->index, start_index(*state));
    state->run_id = state->index.run_id;
    state->next_sequence = state->index.next_sequence;
    TINTYPE_RETURN_IF_ERROR(write_index(*state, state->index));
  }
  return std::unique_ptr<CheckpointDirectory>(new CheckpointDirectory(std::move(state)));
}

CheckpointDirectory::CheckpointDirectory(std::shared_ptr<DirectoryState> state)
    : state_(std::move(state)) {}

CheckpointDirectory::~CheckpointDirectory() {
  // A forked child has none of the parent's threads to join: let the memory be.
  if (::getpid() != state_->process) {
    new std::shared_ptr<DirectoryState>(std::move(state_));
    return;
  }
  static_cast<void>(close());
}

Result<EpochPlan> CheckpointDirectory::plan_epoch(const std::string& stage, uint64_t epoch,
                                                  const Metrics& metrics) {
  TINTYPE_RETURN_IF_ERROR(check_stage_name(stage));
  if (epoch == 0) return Status::invalid_argument("epochs are counted from 1");
  const std::optional<double> score = find_metric(metrics, state_->options.main_metric);
  if (!score.has_value()) return no_main_metric(state_->options.main_metric, metrics);

  PlannedSave save;
  save.entry = {.stem = stem_of(stage, epoch),
                .stage = stage,
                .epoch = epoch,
                .sequence = 0,
                .score = *score,
                .metrics = metrics,
                .full = {},
                .light = {}};
  save.full_inode_before = inode_of(*state_->caller_directory, state_->full_name(save.entry.stem));
  save.light_inode_before =
      inode_of(*state_->caller_directory, state_->light_name(save.entry.stem));

  EpochPlan plan;
  {
    std::lock_guard lock(state_->state_mutex);
    if (state_->is_closed) return Status::invalid_argument("the checkpoint directory is closed");
    save.entry.sequence = state_->next_sequence++;
    std::vector<CheckpointEntry> entries = planned_kept(*state_);
    entries.push_back(save.entry);
    const Selection selection = select_kept(std::move(entries), state_->rule());
    save.is_numbered =
        std::any_of(selection.kept.begin(), selection.kept.end(),
                    [&](const auto& kept) { return kept.sequence == save.entry.sequence; });
    plan.is_best = is_new_best(planned_best(*state_), save.entry, state_->rule());
    state_->pending.push_back(save);
  }
  const std::string_view base = save.is_numbered ? std::string_view(save.entry.stem) : kLastBase;
  plan.full_path = state_->path_of(state_->full_name(base));
  plan.light_path = state_->path_of(state_->light_name(base));
  plan.stem = save.entry.stem;
  plan.is_numbered = save.is_numbered;
  plan.publisher = std::make_unique<EpochPublisher>(state_, std::move(save));
  return plan;
}

const std::string& CheckpointDirectory::run_id() const { return state_->run_id; }

bool CheckpointDirectory::has_foreign_run() const { return state_->has_foreign_run; }

const std::vector<std::string>& CheckpointDirectory::notes() const { return state_->notes; }

const std::string& CheckpointDirectory::path() const { return state_->path; }

Result<CheckpointDirectory::ResumePoint> CheckpointDirectory::find_resume_point(
    const std::string& what) const {
  return locate_resume_point(*state_, what);
}

Status CheckpointDirectory::resumed_from(const ResumePoint& point) {
  std::lock_guard disk_lock(state_->disk_mutex);
  CheckpointIndex next;
  {
    std::lock_guard lock(state_->state_mutex);
    state_->resume_point = point;
    const std::string stem = stem_of(point.stage, point.epoch);
    if (point.is_named && point.path == state_->path_of(state_->full_name(stem))) {
      state_->protected_stems.insert(stem);
    }
    CheckpointIndex& index = state_->index;
    const bool is_last = index.last.has_value() && index.last->sequence == point.sequence;
    index.resumed_at.reset();
    if (!is_last) index.resumed_at = {.stage = point.stage, .epoch = point.epoch};
    std::erase_if(index.ended_stages,
                  [&](const EndedStage& ended) { return ended.sequence > point.sequence; });
    next = state_->index;
  }
  TINTYPE_RETURN_IF_ERROR(write_index(*state_, next));
  evict_losers(*state_);
  return Status::ok();
}

uint64_t CheckpointDirectory::first_epoch(const std::string& stage) const {
  std::lock_guard lock(state_->state_mutex);
  for (const EndedStage& ended : state_->index.ended_stages) {
    if (ended.stage == stage) return ended.epoch + 1;
  }
  const std::optional<ResumePoint>& point = state_->resume_point;
  return point.has_value() && point->stage == stage ? point->epoch + 1 : 1;
}

Status CheckpointDirectory::mark_stage_ended(const std::string& stage) {
  CheckpointIndex next;
  {
    std::lock_guard lock(state_->state_mutex);
    for (auto save = state_->pending.rbegin(); save != state_->pending.rend(); ++save) {
      if (save->entry.stage != stage) continue;
      state_->ending_stages.push_back({stage, save->entry.epoch, save->entry.sequence});
      return Status::ok();
    }
  }
  std::lock_guard disk_lock(state_->disk_mutex);
  {
    std::lock_guard lock(state_->state_mutex);
    const std::optional<CheckpointEntry>& last = state_->index.last;
    if (!last.has_value() || last->stage != stage) return Status::ok();
    std::erase_if(state_->index.ended_stages,
                  [&](const EndedStage& ended) { return ended.stage == stage; });
    state_->index.ended_stages.push_back({stage, last->epoch, last->sequence});
    next = state_->index;
  }
  return write_index(*state_, next);
}

std::vector<CheckpointEntry> CheckpointDirectory::entries() const {
  std::lock_guard lock(state_->state_mutex);
  return state_->index.kept;
}

std::optional<CheckpointEntry> CheckpointDirectory::best() const {
  std::lock_guard lock(state_->state_mutex);
  return state_->index.best;
}

std::optional<CheckpointEntry> CheckpointDirectory::last() const {
  std::lock_guard lock(state_->state_mutex);
  return state_->index.last;
}

Status CheckpointDirectory::close() {
  state_->options.read_facts = nullptr;
  state_->options.check_file = nullptr;
  state_->options.make_light = nullptr;
  std::lock_guard lock(state_->state_mutex);
  state_->is_closed = true;
  release_lock_if_unused(*state_);
  return Status::ok();
}

}  // namespace tintype
