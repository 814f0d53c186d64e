// The last plan of an engine, for the next save of the same structure.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "base/status.h"
#include "engine/plan.h"
#include "engine/save_request.h"

namespace tintype {

// Thread-safe. A training run saves the same structure again and again: where every byte lies stays
// as it was, and of what planning writes only the pickles differ.
class PlanCache {
 public:
  // As plan_save(): equal, whether it was planned or copied. All that planning reads is compared,
  // but for the content of the pickles, which is written anew.
  Result<SavePlan> plan(const SaveRequest& request, uint64_t extent_bytes);
  uint64_t hit_count() const;

 private:
  struct Entry;

  mutable std::mutex mutex_;
  std::shared_ptr<const Entry> last_;  // guarded by mutex_
  uint64_t hit_count_ = 0;             // guarded by mutex_
};

}  // namespace tintype
