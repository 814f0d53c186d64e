// Catalyst's checkpoint directory: names, retention, best and last, index and metrics, the lock.
// Nothing here touches tensors; a front end packs them and hands the Publisher to Engine::save_async.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "engine/save_request.h"
#include "io/disk/file_system.h"

namespace tintype {

using Metrics = std::vector<std::pair<std::string, double>>;  // in the user's order

struct CheckpointDirectoryOptions {
  std::string logdir;
  uint32_t save_n_best = 1;  // 0: only best and last
  std::string main_metric = "loss";
  bool is_metric_minimized = true;
  std::string metrics_filename = "_metrics.json";
  bool is_resumed = false;   // keep the index that stands there; otherwise start an empty one
  FileSystem* file_system = nullptr;  // null: the real one
};

// What stands in the directory for one epoch, both files together.
struct CheckpointEntry {
  std::string stem;  // "train.3"
  std::string stage;
  uint64_t epoch = 0;  // 1-based within its stage
  double score = 0;    // the main metric; NaN is worst in both directions
  Metrics metrics;
};

// What one epoch end will do; made on the caller's thread, carried out by its publisher.
struct EpochPlan {
  std::string full_path, light_path;  // absolute; the files the front end must save, in this order
  bool is_best = false;
  std::unique_ptr<Publisher> publisher;
};

// Thread rule: plan_epoch and friends on one thread; the publishers run on the engine's thread.
class CheckpointDirectory {
 public:
  // Creates logdir/checkpoints, takes `.tintype.lock` (code `locked` names the holder), removes
  // orphans, reads the index if resumed (adopting newer full files of the same run), rewrites the
  // metrics from it.
  static Result<std::unique_ptr<CheckpointDirectory>> open(CheckpointDirectoryOptions options);
  ~CheckpointDirectory();  // close()

  Result<EpochPlan> plan_epoch(const std::string& stage, uint64_t epoch, const Metrics& metrics);

  // A run id is made when an empty index starts and is stored in every full file.
  const std::string& run_id() const;
  // True where a run stood here that was not resumed (the caller warns once).
  bool has_foreign_run() const;
  // The newest valid full file to resume from, by name ("last", "best", a stem or a path);
  // "last" walks back to an older one where the newest is damaged, and says so in `notes`.
  struct ResumePoint {
    std::string path;
    std::string stage;
    uint64_t epoch = 0;
    std::vector<std::string> notes;
  };
  Result<ResumePoint> find_resume_point(const std::string& what) const;
  std::vector<CheckpointEntry> entries() const;  // best first
  void mark_stage_ended(const std::string& stage);
  Status close();

  CheckpointDirectory(const CheckpointDirectory&) = delete;
  CheckpointDirectory& operator=(const CheckpointDirectory&) = delete;

 private:
  struct State;
  explicit CheckpointDirectory(std::shared_ptr<State> state);
  std::shared_ptr<State> state_;
};

}  // namespace tintype
