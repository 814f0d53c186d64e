#include "engine/plan_cache.h"

#include <array>
#include <mutex>
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

// Entries that no save holds, the newest first: as many as a run's saves in flight by default.
struct PlanCache::Shelf {
  std::unique_ptr<Entry> take(const PlanKey& key) {
    std::lock_guard lock(mutex);
    for (std::unique_ptr<Entry>& entry : entries) {
      if (entry == nullptr || entry->key != key) continue;
      ++hit_count;
      return std::move(entry);
    }
    return nullptr;
  }

  void put(std::unique_ptr<Entry> entry) {
    std::lock_guard lock(mutex);
    for (std::unique_ptr<Entry>& place : entries) {
      entry.swap(place);
      if (entry == nullptr) break;
    }
  }

  std::mutex mutex;
  std::array<std::unique_ptr<Entry>, 2> entries;  // guarded by mutex
  uint64_t hit_count = 0;                         // guarded by mutex
};

PlanCache::PlanCache() : shelf_(std::make_shared<Shelf>()) {}

std::shared_ptr<const SavePlan> PlanCache::lend(std::unique_ptr<Entry> entry) {
  const std::shared_ptr<Entry> held(entry.release(), [shelf = shelf_](Entry* returned) {
    shelf->put(std::unique_ptr<Entry>(returned));
  });
  return {held, &held->plan};
}

Result<std::shared_ptr<const SavePlan>> PlanCache::plan(const SaveRequest& request,
                                                        uint64_t extent_bytes) {
  PlanKey key = key_of(request, extent_bytes);
  std::unique_ptr<Entry> entry = shelf_->take(key);
  if (entry == nullptr) {
    TINTYPE_ASSIGN_OR_RETURN(SavePlan plan, plan_save(request, extent_bytes));
    return lend(std::make_unique<Entry>(Entry{std::move(key), std::move(plan)}));
  }
  for (size_t i = 0; i < request.files.size(); ++i) {
    replace_pickle(entry->plan.images[i], request.files[i].object.pickle);
  }
  return lend(std::move(entry));
}

uint64_t PlanCache::hit_count() const {
  std::lock_guard lock(shelf_->mutex);
  return shelf_->hit_count;
}

}  // namespace tintype
