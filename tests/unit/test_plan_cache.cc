// A plan that is used again is the plan that would have been made.
#include <functional>
#include <memory>
#include <random>
#include <utility>

#include <gtest/gtest.h>

#include "engine/device/host_device.h"
#include "engine/image_filler.h"
#include "engine/plan_cache.h"

namespace tintype {
namespace {

constexpr uint64_t kExtentBytes = 4096;

// Every image of a save, filled and sealed by this plan.
std::vector<ByteVector> images_of(const SavePlan& plan, const SaveRequest& request) {
  ImageFiller filler(plan, request.storages);
  std::vector<ByteVector> images(plan.images.size());
  ByteVector buffer(1 << 16);
  for (size_t i = 0; i < filler.extent_count(); ++i) {
    SourcePieces pieces;
    filler.fill(i, buffer, pieces);
    EXPECT_TRUE(host_device().copy(pieces.host, nullptr).is_ok());
    filler.seal(i, buffer);
    append_bytes(images[plan.order[i].image], ByteView(buffer).first(filler.extent(i).size_bytes));
  }
  return images;
}

class PlanCacheTest : public testing::Test {
 protected:
  // Two files, the second over one of the storages; a pickle that spans extents.
  SaveRequest request() {
    SaveRequest made;
    for (const size_t size : {size_t{100}, size_t{5000}, size_t{0}, size_t{5000}}) {
      made.storages.push_back({memory_.data(), size});
    }
    made.files.push_back({.path = "full", .object = {ByteVector(6000), {0, 1, 2, 3}}});
    made.files.push_back({.path = "light", .object = {ByteVector(50), {1}}});
    refill(made);
    return made;
  }

  // New pickles of the same sizes, and new payloads.
  void refill(SaveRequest& request) {
    for (TargetFile& file : request.files) {
      for (auto& byte : file.object.pickle) byte = static_cast<std::byte>(random_());
    }
    for (auto& byte : memory_) byte = static_cast<std::byte>(random_());
  }

  void expect_fresh(const SaveRequest& request, uint64_t extent_bytes = kExtentBytes) {
    expect_equal(*cache_.plan(request, extent_bytes).value(), request, extent_bytes);
  }

  static void expect_equal(const SavePlan& ours, const SaveRequest& request,
                           uint64_t extent_bytes = kExtentBytes) {
    const SavePlan fresh = plan_save(request, extent_bytes).value();
    EXPECT_EQ(images_of(ours, request), images_of(fresh, request));
    EXPECT_EQ(ours.total_bytes, fresh.total_bytes);
    EXPECT_EQ(ours.storage_bytes, fresh.storage_bytes);
  }

  std::mt19937_64 random_{7};
  ByteVector memory_ = ByteVector(8192);
  PlanCache cache_;
};

TEST_F(PlanCacheTest, same_structure_gets_the_same_plan_with_the_new_pickles) {
  SaveRequest made = request();
  expect_fresh(made);
  for (uint64_t hits = 1; hits <= 20; ++hits) {
    refill(made);
    expect_fresh(made);
    EXPECT_EQ(cache_.hit_count(), hits);
  }
}

TEST_F(PlanCacheTest, empty_pickle_is_no_exception) {
  SaveRequest made = request();
  made.files[1].object.pickle.clear();
  expect_fresh(made);
  expect_fresh(made);
  EXPECT_EQ(cache_.hit_count(), 1u);
}

TEST_F(PlanCacheTest, any_change_of_structure_is_planned_anew) {
  const std::pair<const char*, std::function<void(SaveRequest&)>> changes[] = {
      {"a storage's size", [](SaveRequest& r) { r.storages[1].size_bytes = 4999; }},
      {"sizes that change places",
       [](SaveRequest& r) { std::swap(r.storages[0].size_bytes, r.storages[1].size_bytes); }},
      {"order of the records",
       [](SaveRequest& r) {
         r.files[0].object.storages = {1, 0, 2, 3};
       }},
      {"order among equal sizes",
       [](SaveRequest& r) {
         r.files[0].object.storages = {0, 3, 2, 1};
       }},
      {"an alias",
       [](SaveRequest& r) {
         r.files[0].object.storages = {0, 1, 2, 1};
       }},
      {"which storage is shared", [](SaveRequest& r) { r.files[1].object.storages = {3}; }},
      {"one record fewer", [](SaveRequest& r) { r.files[0].object.storages.pop_back(); }},
      {"one storage more", [](SaveRequest& r) { r.storages.push_back(r.storages[0]); }},
      {"a pickle's size", [](SaveRequest& r) { r.files[0].object.pickle.pop_back(); }},
      {"alignment of one file", [](SaveRequest& r) { r.files[1].alignment = 4096; }},
      {"one file fewer", [](SaveRequest& r) { r.files.pop_back(); }},
      {"order of the files", [](SaveRequest& r) { std::swap(r.files[0], r.files[1]); }},
  };
  for (const auto& [what, change] : changes) {
    SCOPED_TRACE(what);
    const SaveRequest before = request();
    expect_fresh(before);
    const uint64_t hits = cache_.hit_count();
    SaveRequest after = request();
    change(after);
    expect_fresh(after);
    EXPECT_EQ(cache_.hit_count(), hits);
  }
}

TEST_F(PlanCacheTest, saves_at_the_same_time_have_plans_of_their_own) {
  SaveRequest first = request();
  SaveRequest second = request();
  for (uint64_t hits = 0; hits <= 10; hits += 2) {
    refill(first);
    refill(second);
    const auto first_plan = cache_.plan(first, kExtentBytes).value();
    const auto second_plan = cache_.plan(second, kExtentBytes).value();
    EXPECT_EQ(cache_.hit_count(), hits);
    expect_equal(*first_plan, first);
    expect_equal(*second_plan, second);
  }
}

TEST_F(PlanCacheTest, two_structures_in_turns_are_both_kept) {
  SaveRequest first = request();
  SaveRequest second = request();
  second.files.pop_back();
  for (int round = 0; round < 3; ++round) {
    expect_fresh(first);
    expect_fresh(second);
  }
  EXPECT_EQ(cache_.hit_count(), 4u);
}

TEST_F(PlanCacheTest, plan_outlives_the_cache) {
  const SaveRequest made = request();
  auto cache = std::make_unique<PlanCache>();
  const auto plan = cache->plan(made, kExtentBytes).value();
  cache.reset();
  expect_equal(*plan, made);
}

TEST_F(PlanCacheTest, other_extents_are_planned_anew) {
  const SaveRequest made = request();
  expect_fresh(made, 4096);
  expect_fresh(made, 8192);
  EXPECT_EQ(cache_.hit_count(), 0u);
}

}  // namespace
}  // namespace tintype
