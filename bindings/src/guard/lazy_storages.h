// Which storages of a save may be copied after save_async() has returned.
#pragma once

#include <memory>
#include <vector>

#include "bindings/src/capture/storage_table.h"
#include "bindings/src/capture/torch_handles.h"
#include "bindings/src/guard/guarded_tensors.h"
#include "bindings/src/guard/python_witness.h"
#include "engine/save_request.h"

namespace tintype::python {

// Lazy is a storage of 4 KiB or more all of whose bytes belong to guarded tensors: whatever views
// of it were captured, only a guarded optimizer is expected to write there. Memory that other
// processes or files share, or may take away, is eager, and so are tensors that were torn before
// (`torn`, may be null).
//
// A lazy storage on the host can never be resized again, as if .numpy() had been called on it:
// resizing frees memory that is still being read. torch refuses it then. It knows no such bar for
// devices, whose memory it keeps mapped when it frees it; there a resize is seen as a tear.
//
// `storages` are the table's. Null where none is lazy. Needs the GIL.
std::unique_ptr<PythonWitness> mark_lazy_storages(std::vector<SourceStorage>& storages,
                                                  const StorageTable& table,
                                                  GuardedTensors& guarded,
                                                  const std::shared_ptr<TornTensors>& torn);

}  // namespace tintype::python
