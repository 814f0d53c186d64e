#include "engine/plan_cache.h"

#include <algorithm>
#include <utility>
#include <vector>

namespace tintype {
namespace {

// Everything that plan_save() depends on, but for the bytes of the pickles.
struct PlanKey {
  struct File {
    uint64_t alignment = 0;
    uint64_t pickle_bytes = 0;
    FileForm form = FileForm::plain;  // some plans are refused to compressed ones
    std::vector<uint32_t> storages;
    bool operator==(const File&) const = default;
  };
  uint64_t extent_bytes = 0;
  std::vector<uint64_t> storage_bytes;
  std::vector<File> files;
  bool operator==(const PlanKey&) const = default;
};

PlanKey key_of(const SaveRequest& request, uint64_t extent_bytes) {
  PlanKey key{.extent_bytes = extent_bytes, .storage_bytes = {}, .files = {}};
  key.storage_bytes.reserve(request.storages.size());
  for (const SourceStorage& storage : request.storages) {
    key.storage_bytes.push_back(storage.size_bytes);
  }
  for (const TargetFile& file : request.files) {
    key.files.push_back(
        {file.alignment, file.object.pickle.size(), file.form.form, file.object.storages});
  }
  return key;
}

}  // namespace

struct PlanCache::Entry {
  PlanKey key;
  SavePlan plan;
};

Result<SavePlan> PlanCache::plan(const SaveRequest& request, uint64_t extent_bytes) {
  PlanKey key = key_of(request, extent_bytes);
  std::shared_ptr<const Entry> last;
  {
    std::lock_guard lock(mutex_);
    if (last_ != nullptr && last_->key == key) {
      last = last_;
      ++hit_count_;
    }
  }
  if (last != nullptr) {
    SavePlan plan = last->plan;
    for (size_t i = 0; i < plan.images.size(); ++i) {
      replace_pickle(plan.images[i], request.files[i].object.pickle);
    }
    return plan;
  }
  TINTYPE_ASSIGN_OR_RETURN(SavePlan plan, plan_save(request, extent_bytes));
  auto entry = std::make_shared<const Entry>(Entry{std::move(key), plan});
  std::lock_guard lock(mutex_);
  last_ = std::move(entry);
  return plan;
}

uint64_t PlanCache::hit_count() const {
  std::lock_guard lock(mutex_);
  return hit_count_;
}

}  // namespace tintype
