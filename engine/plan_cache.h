// The plans of saves that ended, for the next saves of the same structure.
#pragma once

#include <cstdint>
#include <memory>

#include "base/status.h"
#include "engine/plan.h"
#include "engine/save_request.h"

namespace tintype {

// Thread-safe. A training run saves the same structure again and again: where every byte lies stays
// as it was, and of what planning writes only the pickles differ.
class PlanCache {
 public:
  PlanCache();

  // Equal to what plan_save() makes, whether it is made or was there. All that planning reads is
  // compared, but for the content of the pickles, which is written anew. The last holder lets go on
  // any thread, also after the cache is gone; another save may have the plan then.
  Result<std::shared_ptr<const SavePlan>> plan(const SaveRequest& request, uint64_t extent_bytes);
  uint64_t hit_count() const;

 private:
  struct Entry;
  struct Shelf;

  std::shared_ptr<const SavePlan> lend(std::unique_ptr<Entry> entry);

  const std::shared_ptr<Shelf> shelf_;
};

}  // namespace tintype
