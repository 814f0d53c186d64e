#include "io/disk/atomic_file.h"

#include <cerrno>
#include <utility>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "base/page_sizes.h"
#include "io/disk/process_registry.h"
#include "io/disk/target_path.h"
#include "io/disk/temp_names.h"

namespace tintype {
namespace {

constexpr mode_t kNewFileMode = 0666;  // less the umask, which the kernel applies
constexpr int kTriesMax = 8;

// A refusal that changes nothing for the caller: the file system cannot do it.
bool is_ok_or_unsupported(const Status& status) {
  return status.is_ok() || status.code() == StatusCode::unsupported;
}

// The first save of a process into a directory looks for what dead writers left. Nothing of this
// may fail the save.
void remove_orphans_once(Directory& directory, const SoundnessCheck& is_sound) {
  const auto info = directory.info(".");
  if (!info.is_ok() || !is_first_use_of_directory(info->device, info->inode)) return;
  static_cast<void>(remove_orphans(directory, is_sound));
}

}  // namespace

struct AtomicFile::State {
  TargetPath target;
  AtomicFileOptions options;
  std::unique_ptr<File> file;
  uint64_t own_inode = 0;
  std::string temp_name;           // not empty while a temp of ours has a name
  std::unique_ptr<File> replaced;  // opened and locked before 8b, so that no cleaner takes it
  enum class Outcome { created, exchanged, overwritten } outcome = Outcome::created;

  ~State() { abandon(); }

  Directory& directory() { return *target.directory; }
  void abandon();
  Status check_space(uint64_t planned_bytes);
  Status create_temp();
  Status create_named_temp();
  Status lock_temp();
  Status allocate(uint64_t planned_bytes, bool is_bound);
  Status finish_content(uint64_t exact_bytes);
  Status keep_mode();
  Status link_temp();
  Status check_free() const;
  Status take_free_name();
  Status rename_over();
  Status replace_standing(const FileInfo& standing);
  void hold_standing(const FileInfo& standing);
  Status sync_directory();
  Status undo_rename();
  void drop_replaced();
  Status seal(uint64_t exact_bytes, const Verify& verify);
  Status expose();
  Status retract();
  Status step(std::string_view name, const Status& status) const {
    return status.with_context(name).of_file(target.path, "save");
  }
};

// The name goes before the lock (held by `file`): nobody takes a living temp for an orphan.
void AtomicFile::State::abandon() {
  if (!temp_name.empty()) {
    const Status status = directory().remove(temp_name);
    if (!status.is_ok() && status.code() != StatusCode::not_found) {
      log_warning(status.with_context("a temporary file stays").to_string());
    }
    temp_name.clear();
  }
  file.reset();
}

// No margin: what the file system cannot do after all, step 3 finds out. Free space comes in whole
// blocks, so comparing with the exact bytes compares blocks.
Status AtomicFile::State::check_space(uint64_t planned_bytes) {
  auto available = directory().available_bytes();
  const auto is_enough = [&] { return !available.is_ok() || planned_bytes <= *available; };
  if (!is_enough() && options.wait_for_room) {
    options.wait_for_room();
    available = directory().available_bytes();
  }
  if (is_enough()) return Status::ok();
  return Status(StatusCode::out_of_space,
                fmt::format("'{}' needs {} bytes, {} are available [ENOSPC, errno {}]", target.path,
                            planned_bytes, *available, ENOSPC),
                ENOSPC)
      .with_path(target.path)
      .with_remedy("free space on this file system or save elsewhere");
}

// Of an unnamed file a killed writer leaves nothing behind.
Status AtomicFile::State::create_temp() {
  if (options.is_named_temp) return create_named_temp();
  auto unnamed = directory().create_unnamed(target.name, kNewFileMode);
  if (unnamed.status().code() == StatusCode::unsupported) return create_named_temp();
  if (!unnamed.is_ok()) return unnamed.status();
  file = std::move(unnamed).value();
  return lock_temp();
}

// Between its creation and its lock a cleaner may take a named temp for an orphan: then the next.
Status AtomicFile::State::create_named_temp() {
  Status status;
  for (int i = 0; i < kTriesMax; ++i) {
    const std::string name = temp_name_for(target.name);
    auto named = directory().create(name, kNewFileMode);
    status = named.status();
    if (status.code() == StatusCode::already_exists) continue;
    if (!status.is_ok()) return status;
    file = std::move(named).value();
    temp_name = name;
    status = lock_temp();
    if (status.code() == StatusCode::locked) {
      abandon();
      continue;
    }
    TINTYPE_RETURN_IF_ERROR(status);
    const auto info = directory().info(temp_name);
    if (info.is_ok() && info->inode == own_inode) return status;
    if (!info.is_ok() && info.status().code() != StatusCode::not_found) return info.status();
    temp_name.clear();
    status = info.status();
  }
  return status.is_ok() ? Status::internal("no temporary name was to be had") : status;
}

// Where the file system has no locks, other processes leave temps alone for 24 hours.
Status AtomicFile::State::lock_temp() {
  const Status status = file->try_lock();
  if (!is_ok_or_unsupported(status)) return status;
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo info, file->info());
  own_inode = info.inode;
  return Status::ok();
}

// Whole blocks: a padded direct write of the last extent does not grow the file. Where a bound does
// not fit, on the disk or under the limit of a file's size, what was reserved of it is given back:
// the file itself may fit.
Status AtomicFile::State::allocate(uint64_t planned_bytes, bool is_bound) {
  if (planned_bytes == 0) return Status::ok();
  const Status status = file->allocate(align_up(planned_bytes, kDirectAlignmentBytes));
  const bool is_too_much =
      status.code() == StatusCode::out_of_space || status.error_number() == EFBIG;
  if (is_bound && is_too_much) return file->truncate(0);
  return is_ok_or_unsupported(status) ? Status::ok() : status;
}

// A replaced file keeps its mode.
Status AtomicFile::State::keep_mode() {
  const auto standing = directory().info(target.name);
  if (standing.status().code() == StatusCode::not_found) return Status::ok();
  if (!standing.is_ok()) return standing.status();
  if (standing->kind != FileInfo::Kind::regular) return Status::ok();
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo own, file->info());
  if (own.mode == standing->mode) return Status::ok();
  const Status status = file->set_mode(standing->mode);
  return is_ok_or_unsupported(status) ? Status::ok() : status;
}

Status AtomicFile::State::link_temp() {
  Status status;
  for (int i = 0; i < kTriesMax && temp_name.empty(); ++i) {
    const std::string name = temp_name_for(target.name);
    status = directory().link_unnamed(*file, name);
    if (status.is_ok()) temp_name = name;
    if (!status.is_ok() && status.code() != StatusCode::already_exists) break;
  }
  return status;
}

Status AtomicFile::State::check_free() const {
  const auto standing = target.directory->info(target.name);
  if (standing.status().code() == StatusCode::not_found) return Status::ok();
  if (!standing.is_ok()) return standing.status();
  return errno_status(EEXIST, "create", target.path);
}

// A second name is refused where something stands; a rename would replace what came meanwhile. The
// first name goes in step 9b.
Status AtomicFile::State::take_free_name() {
  const Status status = directory().link(temp_name, target.name);
  if (status.code() != StatusCode::unsupported) return status;
  TINTYPE_RETURN_IF_ERROR(check_free());  // nothing better is to be had without hard links
  TINTYPE_RETURN_IF_ERROR(directory().rename(temp_name, target.name));
  temp_name.clear();
  return Status::ok();
}

// Other processes may create or remove the final name between the look and the rename.
Status AtomicFile::State::rename_over() {
  if (!options.may_replace) return take_free_name();
  Status status;
  for (int i = 0; i < kTriesMax; ++i) {
    const auto standing = directory().info(target.name);
    if (standing.is_ok()) {
      status = replace_standing(*standing);
      if (status.code() != StatusCode::not_found) return status;
    } else if (standing.status().code() == StatusCode::not_found) {
      status = directory().rename(temp_name, target.name);
      if (status.is_ok()) temp_name.clear();
      return status;
    } else {
      return standing.status();
    }
  }
  return status;
}

Status AtomicFile::State::replace_standing(const FileInfo& standing) {
  if (standing.kind == FileInfo::Kind::directory) {
    return errno_status(EISDIR, "save to", target.path);
  }
  hold_standing(standing);
  Status status = directory().exchange(temp_name, target.name);
  if (status.is_ok()) outcome = Outcome::exchanged;
  if (status.code() != StatusCode::unsupported) return status;
  status = directory().rename(temp_name, target.name);
  if (!status.is_ok()) return status;
  outcome = Outcome::overwritten;
  temp_name.clear();
  return status;
}

// Best effort: without the descriptor the old file is freed by its unlink, without the lock a
// cleaner may remove it a moment earlier.
void AtomicFile::State::hold_standing(const FileInfo& standing) {
  replaced.reset();
  if (standing.kind != FileInfo::Kind::regular) return;
  auto old = directory().open(target.name, false);
  if (!old.is_ok()) return;
  replaced = std::move(old).value();
  static_cast<void>(replaced->try_lock());
}

Status AtomicFile::State::sync_directory() {
  if (!options.is_directory_synced) return Status::ok();
  const Status status = directory().sync();
  if (status.is_ok()) return status;
  const Status undone = undo_rename();
  replaced.reset();
  if (undone.is_ok()) return status.with_context("the old state was put back");
  const bool has_old = !temp_name.empty() && outcome != Outcome::created;
  const std::string kept = has_old ? ", the old one is " + temp_name : "";
  temp_name.clear();  // it may be the only durable copy: the next start judges it
  return status.with_context("the new file stands but may not be durable" + kept);
}

// Only what is still ours is undone: a newer save of another process stays.
Status AtomicFile::State::undo_rename() {
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo standing, directory().info(target.name));
  if (standing.inode != own_inode) return Status::ok();
  switch (outcome) {
    case Outcome::created: return directory().remove(target.name);
    case Outcome::exchanged: return directory().exchange(temp_name, target.name);
    case Outcome::overwritten: break;
  }
  return Status::unsupported("this file system cannot exchange names");
}

// The new file is durable: what fails here leaves an orphan for the next start, no error.
void AtomicFile::State::drop_replaced() {
  if (temp_name.empty()) return;
  const Status status = directory().remove(temp_name);
  temp_name.clear();
  if (!status.is_ok() && status.code() != StatusCode::not_found) {
    log_warning(status.with_context("the replaced file stays").to_string());
  }
}

Status AtomicFile::State::finish_content(uint64_t exact_bytes) {
  TINTYPE_RETURN_IF_ERROR(step("step 5 (size)", file->truncate(exact_bytes)));
  TINTYPE_RETURN_IF_ERROR(step("step 5 (mode)", keep_mode()));
  return step("step 6", file->sync_data());
}

Status AtomicFile::State::seal(uint64_t exact_bytes, const Verify& verify) {
  TINTYPE_RETURN_IF_ERROR(finish_content(exact_bytes));
  if (verify) {
    static_cast<void>(file->set_direct(false));  // the callback reads at any place
    TINTYPE_RETURN_IF_ERROR(step("step 7", verify(*file)));
  }
  return step("step 8a", link_temp());
}

Status AtomicFile::State::expose() {
  TINTYPE_RETURN_IF_ERROR(step("step 8b", rename_over()));
  return step("step 9a", sync_directory());
}

// Durable again only after a directory sync; without it a power cut may leave either state.
Status AtomicFile::State::retract() {
  TINTYPE_RETURN_IF_ERROR(undo_rename());
  return directory().sync();
}

Result<std::unique_ptr<AtomicFile>> AtomicFile::open(FileSystem& file_system,
                                                     const std::string& path,
                                                     AtomicFileOptions options) {
  auto state = std::make_unique<State>();
  TINTYPE_ASSIGN_OR_RETURN(state->target,
                           resolve_target(file_system, path, options.is_symlink_followed));
  state->options = std::move(options);
  if (!state->options.may_replace) TINTYPE_RETURN_IF_ERROR(state->check_free());
  return std::unique_ptr<AtomicFile>(new AtomicFile(std::move(state)));
}

AtomicFile::AtomicFile(std::unique_ptr<State> state) : state_(std::move(state)) {}
AtomicFile::~AtomicFile() = default;

File& AtomicFile::file() {
  TINTYPE_CHECK(state_->file != nullptr);
  return *state_->file;
}

const std::string& AtomicFile::path() const { return state_->target.path; }

std::unique_ptr<File> AtomicFile::take_replaced() { return std::move(state_->replaced); }

Status AtomicFile::begin(uint64_t planned_bytes, bool is_bound) {
  State& state = *state_;
  TINTYPE_CHECK(state.file == nullptr);
  remove_orphans_once(state.directory(), state.options.is_sound);
  if (!is_bound) TINTYPE_RETURN_IF_ERROR(state.step("step 1", state.check_space(planned_bytes)));
  Status status = state.step("step 2", state.create_temp());
  if (status.is_ok()) status = state.step("step 3", state.allocate(planned_bytes, is_bound));
  if (!status.is_ok()) state.abandon();
  return status;
}

Status AtomicFile::seal(uint64_t exact_bytes, const Verify& verify) {
  TINTYPE_CHECK(state_->file != nullptr);
  const Status status = state_->seal(exact_bytes, verify);
  if (!status.is_ok()) state_->abandon();
  return status;
}

Status AtomicFile::expose() {
  const Status status = state_->expose();
  if (!status.is_ok()) state_->abandon();
  return status;
}

Status AtomicFile::retract() {
  const Status status = state_->retract();
  // Where the new file stands, the temp is the old one: the next start judges it.
  if (!status.is_ok()) state_->temp_name.clear();
  state_->replaced.reset();
  state_->abandon();
  return status;
}

void AtomicFile::settle() { state_->drop_replaced(); }

Status AtomicFile::commit(uint64_t exact_bytes, const CommitHooks& hooks) {
  TINTYPE_RETURN_IF_ERROR(seal(exact_bytes, hooks.verify));
  if (hooks.may_pass_8b && !hooks.may_pass_8b()) {
    state_->abandon();
    return {StatusCode::cancelled, "cancelled before step 8b: '" + path() + "' is as it was"};
  }
  TINTYPE_RETURN_IF_ERROR(expose());
  settle();
  return Status::ok();
}

Status replace_file(FileSystem& file_system, const std::string& path, ByteView content,
                    AtomicFileOptions options) {
  const auto write = [&]() -> Status {
    TINTYPE_ASSIGN_OR_RETURN(auto target, AtomicFile::open(file_system, path, std::move(options)));
    TINTYPE_RETURN_IF_ERROR(target->begin(content.size()));
    TINTYPE_RETURN_IF_ERROR(write_fully(target->file(), content, 0));
    return target->commit(content.size());
  };
  return write().of_file(path, "replace");
}

}  // namespace tintype
