// The end of one epoch's save: links, index, metrics, eviction (protocol steps 10 to 12).
#pragma once

#include <memory>

#include "engine/directory/directory_state.h"
#include "engine/save_request.h"

namespace tintype {

// Runs on the engine's commit thread after both files are durable. Crash safety: nothing that the
// index on disk names is deleted before an index that no longer names it is durable, and every name
// changes by one rename. A crash in between leaves files newer than the index, which open() adopts,
// or losers that the index lists as such, which open() deletes.
class EpochPublisher final : public Publisher {
 public:
  // `save` is in state->pending and stays there until this object publishes or is dropped.
  EpochPublisher(std::shared_ptr<DirectoryState> state, PlannedSave save);
  ~EpochPublisher() override;

  Status publish() override;
  void evict() override;

 private:
  Status read_digests();
  CheckpointIndex next_index();
  // REQUIRES: state_mutex held.
  bool take_ended_stage(CheckpointIndex& next);
  Status link_names(CheckpointIndex& next);
  bool enter(CheckpointIndex& next);
  void withdraw();
  void remove_half_written();
  void remove_links_of_other_forms();

  std::shared_ptr<DirectoryState> state_;
  PlannedSave save_;
  bool is_entered_ = false;
};

}  // namespace tintype
