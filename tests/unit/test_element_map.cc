// Which runs of elements an extent has, and into which runs of planes it is cut.
#include <random>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "io/archive/element_map.h"
#include "io/archive/plane_runs.h"

namespace tintype {

bool operator==(const ElementRun& a, const ElementRun& b) {
  return a.offset_bytes == b.offset_bytes && a.size_bytes == b.size_bytes &&
         a.element_bytes == b.element_bytes && a.is_floating == b.is_floating;
}

bool operator==(const PlaneRun& a, const PlaneRun& b) {
  return a.offset == b.offset && a.size_bytes == b.size_bytes && a.width == b.width &&
         a.is_rotated == b.is_rotated;
}

namespace {

using testing::ElementsAre;
using testing::IsEmpty;
constexpr uint64_t kKiB = 1024;

TEST(ElementMap, runs_are_cut_to_the_extent_and_moved_to_its_start) {
  ElementMap map;
  map.add(64, 400, 4, true);
  map.add(512, 1000, 2, false);
  map.add(2048, 80, 8, false);
  EXPECT_THAT(map.runs_in(0, 4096),
              ElementsAre(ElementRun{64, 400, 4, true}, ElementRun{512, 1000, 2, false},
                          ElementRun{2048, 80, 8, false}));
  EXPECT_THAT(map.runs_in(100, 500),
              ElementsAre(ElementRun{0, 364, 4, true}, ElementRun{412, 88, 2, false}));
  EXPECT_THAT(map.runs_in(464, 48), IsEmpty());
  EXPECT_THAT(map.runs_in(2128, 100), IsEmpty());
}

TEST(ElementMap, an_element_across_a_border_belongs_to_no_run) {
  ElementMap map;
  map.add(3, 40, 4, false);
  EXPECT_THAT(map.runs_in(0, 10), ElementsAre(ElementRun{3, 4, 4}));
  EXPECT_THAT(map.runs_in(10, 10), ElementsAre(ElementRun{1, 8, 4}));
  EXPECT_THAT(map.runs_in(8, 2), IsEmpty());
}

TEST(ElementMap, single_bytes_and_empty_storages_are_no_runs) {
  ElementMap map;
  map.add(0, 100, 1, false);
  map.add(128, 0, 4, true);
  EXPECT_THAT(map.runs_in(0, 4096), IsEmpty());
}

TEST(PlaneRuns, an_extent_without_elements_is_runs_of_bytes) {
  EXPECT_THAT(cut_plane_runs(10 * kKiB, {}), ElementsAre(PlaneRun{0, 10 * kKiB, 1}));
}

TEST(PlaneRuns, small_runs_of_one_width_are_one_with_what_lies_between) {
  std::vector<ElementRun> runs;
  for (uint64_t i = 0; i < 100; ++i) runs.push_back({64 + i * 4160, 4 * kKiB, 4});
  EXPECT_THAT(cut_plane_runs(512 * kKiB, runs),
              ElementsAre(PlaneRun{0, 416000, 4}, PlaneRun{416000, 108288, 1}));
}

TEST(PlaneRuns, a_small_run_goes_with_its_larger_neighbour) {
  const std::vector<ElementRun> runs = {{64, 8, 8}, {128, 200 * kKiB, 2}};
  EXPECT_THAT(cut_plane_runs(128 + 200 * kKiB, runs),
              ElementsAre(PlaneRun{0, 128 + 200 * kKiB, 2}));
}

TEST(PlaneRuns, large_runs_of_two_widths_stay_apart) {
  const std::vector<ElementRun> runs = {{0, 100 * kKiB, 4}, {100 * kKiB + 64, 100 * kKiB, 2}};
  EXPECT_THAT(
      cut_plane_runs(200 * kKiB + 64, runs),
      ElementsAre(PlaneRun{0, 100 * kKiB + 64, 4}, PlaneRun{100 * kKiB + 64, 100 * kKiB, 2}));
}

TEST(PlaneRuns, long_runs_are_cut) {
  const std::vector<ElementRun> runs = {{0, 8192 * kKiB, 8}};
  const std::vector<PlaneRun> cut = cut_plane_runs(8192 * kKiB, runs);
  ASSERT_EQ(cut.size(), 8u);
  for (const PlaneRun& run : cut) EXPECT_EQ(run.size_bytes, 1024 * kKiB);
}

TEST(PlaneRuns, elements_that_begin_at_odd_places_keep_their_borders) {
  const std::vector<ElementRun> runs = {{3, 200 * kKiB, 4}};
  EXPECT_THAT(
      cut_plane_runs(200 * kKiB + 5, runs),
      ElementsAre(PlaneRun{0, 3, 1}, PlaneRun{3, 200 * kKiB, 4}, PlaneRun{200 * kKiB + 3, 2, 1}));
}

TEST(PlaneRuns, complex_numbers_of_16_bytes_are_two_of_8) {
  const std::vector<ElementRun> runs = {{0, 160 * kKiB, 16}};
  EXPECT_THAT(cut_plane_runs(160 * kKiB, runs), ElementsAre(PlaneRun{0, 160 * kKiB, 8}));
}

TEST(PlaneRuns, floats_are_turned_and_other_numbers_and_doubles_are_not) {
  std::vector<ElementRun> runs = {{0, 100 * kKiB, 4, true}, {100 * kKiB, 100 * kKiB, 4, false}};
  EXPECT_THAT(cut_plane_runs(200 * kKiB + 1, runs),
              ElementsAre(PlaneRun{0, 100 * kKiB, 4, true}, PlaneRun{100 * kKiB, 100 * kKiB, 4},
                          PlaneRun{200 * kKiB, 1, 1}));
  runs = {{0, 100 * kKiB, 2, true}, {100 * kKiB, 100 * kKiB, 8, true}};
  EXPECT_THAT(cut_plane_runs(200 * kKiB, runs),
              ElementsAre(PlaneRun{0, 100 * kKiB, 2, true}, PlaneRun{100 * kKiB, 100 * kKiB, 8}));
}

TEST(PlaneRuns, a_few_numbers_of_another_kind_are_turned_with_those_around_them) {
  const std::vector<ElementRun> runs = {
      {0, 100 * kKiB, 4, true}, {100 * kKiB, 8, 4, false}, {100 * kKiB + 64, 100 * kKiB, 4, true}};
  EXPECT_THAT(cut_plane_runs(200 * kKiB + 64, runs),
              ElementsAre(PlaneRun{0, 200 * kKiB + 64, 4, true}));
}

TEST(PlaneRuns, whatever_the_elements_the_runs_cover_the_extent_in_whole_elements) {
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    const uint64_t size_bytes = 1 + random() % (2048 * kKiB);
    std::vector<ElementRun> runs;
    for (uint64_t offset = random() % 300; offset < size_bytes;) {
      const uint32_t width = std::vector<uint32_t>{2, 3, 4, 8, 16}[random() % 5];
      const uint64_t longest = random() % 4 == 0 ? 300 * kKiB : 2 * kKiB;
      const uint64_t count =
          std::min((1 + random() % longest) / width, (size_bytes - offset) / width);
      if (count > 0) runs.push_back({offset, count * width, width, random() % 2 == 0});
      offset += count * width + random() % 200;
    }
    uint64_t end = 0;
    for (const PlaneRun& run : cut_plane_runs(size_bytes, runs)) {
      EXPECT_EQ(run.offset, end);
      EXPECT_GT(run.size_bytes, 0u);
      EXPECT_EQ(run.size_bytes % run.width, 0u);
      EXPECT_LE(run.size_bytes / run.width, kRunElementsMax);
      end += run.size_bytes;
    }
    EXPECT_EQ(end, size_bytes);
  }
}

}  // namespace
}  // namespace tintype
