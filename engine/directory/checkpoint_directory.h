// Catalyst's checkpoint directory: names, retention, best and last, index and metrics, the lock.
// Nothing here touches tensors; a front end packs them and hands the Publisher to
// Engine::save_async.
//
// Two states are kept. The *published* one follows the publishers, in the order of the saves, and
// is what the index says. The *planned* one adds the saves under way; plan_epoch decides by it
// whether an epoch gets numbered files, so an epoch that would be evicted at once is written as
// last only. A save that fails before its files are durable leaves the plan as if it had never been
// asked for; every publisher decides anew from what was published before it. A save whose files are
// durable counts, also when its publish() fails: the next publisher writes what that one could not.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/directory/checkpoint_entry.h"
#include "engine/save_request.h"
#include "io/disk/file_system.h"

namespace tintype {

// What a front end finds inside a full file.
struct FullFileFacts {
  std::string run_id;  // empty where another program wrote the file
  std::string stage;
  uint64_t epoch = 0;  // the finished one, 1-based
  Metrics metrics;
};

struct CheckpointDirectoryOptions {
  std::string logdir;
  uint32_t save_n_best = 1;  // per stage; 0: only best and last
  std::string main_metric = "loss";
  bool is_metric_minimized = true;
  std::string metrics_filename = "_metrics.json";
  TargetForm form = {};     // of all files of the directory
  bool is_resumed = false;  // keep the index that stands there; otherwise start an empty one
  FileSystem* file_system = nullptr;  // null: the real one

  // The front end's knowledge of what is inside the files. They run on the thread that called
  // open() or find_resume_point() and are released by close(). Any may be empty.
  std::function<Result<FullFileFacts>(const std::string& path)> read_facts;
  std::function<Status(const std::string& path)> check_file;  // empty: the end records are checked
  // Writes the light file of a full one, durably; empty: a missing one is only noted.
  std::function<Status(const std::string& full_path, const std::string& light_path)> make_light;
};

// What one epoch end will do; made on the caller's thread, carried out by its publisher.
struct EpochPlan {
  // Absolute; the files the front end must save, in this order, never following a symlink.
  std::string full_path, light_path;  // their names end as the form says
  std::string stem;                   // "train.3"
  bool is_numbered = false;           // else the two paths are last_full.pth and last.pth
  bool is_best = false;               // as far as the saves under way allow to tell
  // Dropping it unpublished withdraws the epoch from the plan.
  std::unique_ptr<Publisher> publisher;
};

// Thread rule: all methods on one thread at a time; the publishers run on the engine's thread, at
// the same time. Publishers may outlive this object.
class CheckpointDirectory {
 public:
  // Creates logdir/checkpoints, takes `.tintype.lock` (code `locked` names the holder), removes
  // orphans, reads the index if resumed and reconciles it with what stands in the directory, writes
  // index and metrics. Reconciling drops entries whose files are missing or damaged, adopts newer
  // full files of the same run, and deletes nothing: losers, which a crash or a smaller save_n_best
  // left, go when the job has resumed or published. corruption: the index is not ours to read;
  // unsupported: a newer program wrote it; invalid_argument: no epoch has the main metric.
  static Result<std::unique_ptr<CheckpointDirectory>> open(CheckpointDirectoryOptions options);
  // In a forked child nothing is released or written.
  ~CheckpointDirectory();

  // invalid_argument: the stage name, epoch 0, or no main metric among `metrics`.
  Result<EpochPlan> plan_epoch(const std::string& stage, uint64_t epoch, const Metrics& metrics);

  // Made when an empty index starts; the front end stores it in every full file.
  const std::string& run_id() const;
  // True where checkpoints stood here that were not resumed (the caller warns once). Their best and
  // last, of whatever form, are replaced by the first save; the rest stays.
  bool has_foreign_run() const;
  // What open() found amiss and did about it, for the operator.
  const std::vector<std::string>& notes() const;

  struct ResumePoint {
    std::string path;  // of a valid full file
    std::string stage;
    uint64_t epoch = 0;              // the finished one
    uint64_t sequence = 0;           // 0 where the index does not know the file
    bool is_named = false;           // asked for by stem or path
    std::vector<std::string> notes;  // which better candidates were damaged, and how
  };
  // "last" and "best" (or with "_full") walk on to an older or the next best valid file where the
  // first is damaged. A stem ("train.3") or a path means that file and no other.
  // not_found: nothing to resume from; corruption: the named file is damaged.
  Result<ResumePoint> find_resume_point(const std::string& what) const;
  // Tells what the job really resumed from: stages that ended later no longer count as ended, and a
  // file that was asked for by stem or path is not deleted by this directory. Deletes losers.
  Status resumed_from(const ResumePoint& point);

  // 1; after resumed_from the epoch behind it, for a stage that had ended the one behind its last.
  uint64_t first_epoch(const std::string& stage) const;
  // Takes effect when the stage's last planned save is published, and never if that fails.
  Status mark_stage_ended(const std::string& stage);

  std::vector<CheckpointEntry> entries() const;  // published and kept, best first
  std::optional<CheckpointEntry> best() const;
  std::optional<CheckpointEntry> last() const;
  const std::string& path() const;  // of the folder with the files, absolute

  // Later calls of plan_epoch fail. Releases the lock as soon as the publishers are gone.
  // Idempotent.
  Status close();

  CheckpointDirectory(const CheckpointDirectory&) = delete;
  CheckpointDirectory& operator=(const CheckpointDirectory&) = delete;

 private:
  explicit CheckpointDirectory(std::shared_ptr<class DirectoryState> state);
  std::shared_ptr<class DirectoryState> state_;
};

}  // namespace tintype
