// One save on its way through the pipeline: everything that lives until it is final.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "engine/device/source_copies.h"
#include "engine/file_encoding.h"
#include "engine/image_filler.h"
#include "engine/plan.h"
#include "engine/save_request.h"
#include "engine/snapshot_core.h"
#include "engine/tear_watch.h"
#include "engine/trace.h"
#include "io/disk/atomic_file.h"

namespace tintype {

struct JobFile {
  std::unique_ptr<AtomicFile> target;
  std::unique_ptr<FileEncoding> encoding;  // null: the plain form
  uint64_t planned_bytes = 0;              // of the file; of a compressed one, about the most
  bool is_begun = false;                   // writer thread only
  bool is_direct = false;                  // writer thread only
};

// Shared by the writer's extents and the committer. `request.storages` may be read only until the
// staging is over.
struct SaveJob {
  SaveJob(std::shared_ptr<SnapshotCore> core_in, SaveRequest request_in,
          std::shared_ptr<const SavePlan> plan_in)
      : core(std::move(core_in)),
        request(std::move(request_in)),
        plan(std::move(plan_in)),
        filler(*plan, request.storages),
        copies(request.devices) {
    if (request.witness != nullptr) tears = std::make_shared<TearWatch>(std::move(request.witness));
  }

  // May be read after save_async() has returned, on the promise of before_mutation().
  bool is_lazy(const SourceStorage& storage) const { return tears != nullptr && storage.is_lazy; }

  std::shared_ptr<SnapshotCore> core;
  SaveRequest request;
  std::shared_ptr<const SavePlan> plan;
  ImageFiller filler;
  SourceCopies copies;
  std::shared_ptr<TearWatch> tears;  // of a guarded save; null: of another
  std::vector<JobFile> files;        // parallel to plan->images
  TraceContext trace;
  Clock::time_point first_write = Clock::time_point::max();  // writer thread only

  SaveJob(const SaveJob&) = delete;
  SaveJob& operator=(const SaveJob&) = delete;
};

}  // namespace tintype
