// Brings the index and what stands in the directory together when a run is resumed.
#pragma once

#include "base/status.h"
#include "engine/directory/checkpoint_index.h"
#include "engine/directory/directory_state.h"

namespace tintype {

// `found` is the index as it was read. Returns what is true now: entries whose full files are
// missing or damaged are gone, newer full files of the same run have entries, light files that were
// missing are made again, best and last are chosen and linked. The losers among them are in
// `evicting`. Nothing is deleted here. Adds to state.notes. REQUIRES: state.directory is open,
// disk_mutex is held.
Result<CheckpointIndex> reconcile(DirectoryState& state, CheckpointIndex found);

}  // namespace tintype
