// A training run's saves through Engine and CheckpointDirectory; content that tells its version.
//
// Every save has a version (1, 2, ...). Its full and its light file share one storage whose bytes
// depend on the version, so that any file can be read back, named, and compared to the last byte.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/status.h"
#include "engine/directory/checkpoint_directory.h"
#include "engine/engine.h"
#include "io/disk/file_system.h"

namespace tintype {

struct Version {
  uint64_t number = 0;
  uint64_t epoch = 0;
  double loss = 0;
};

struct CheckpointRunOptions {
  std::string logdir;
  FileSystem* file_system = nullptr;  // the directory's and the test's own, not the engine's
  uint32_t save_n_best = 1;
  bool is_resumed = false;
  size_t storage_bytes = 100'000;
};

// One thread.
class CheckpointRun {
 public:
  static Result<std::unique_ptr<CheckpointRun>> open(CheckpointRunOptions options);

  // Stage "train". Returns once staged.
  Result<std::shared_ptr<Snapshot>> save_async(Engine& engine, const Version& version);
  // Until published.
  Status save(Engine& engine, const Version& version);

  CheckpointDirectory& directory() { return *directory_; }

 private:
  CheckpointRun(CheckpointRunOptions options, std::unique_ptr<CheckpointDirectory> directory)
      : options_(std::move(options)), directory_(std::move(directory)) {}

  CheckpointRunOptions options_;
  std::unique_ptr<CheckpointDirectory> directory_;
  ByteVector memory_;
};

// What a file of a run holds: "full 3" or "light 3", compared to the last byte; "" for all else.
std::string label_of(const std::string& content, size_t storage_bytes);
// The version of a label; 0 for none.
uint64_t version_of_label(const std::string& label);

// All files of a checkpoint directory by name: checkpoints as their labels ("torn" where there is
// none), documents as "document" or "torn", everything else as "temp" or "other"; the lock is left
// out.
std::map<std::string, std::string> labels_in(FileSystem& file_system, const std::string& folder,
                                             size_t storage_bytes);

}  // namespace tintype
