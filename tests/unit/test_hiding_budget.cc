// The hiding budget as arithmetic, and the measurements that it is fed with.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/hiding_meter.h"

namespace tintype {
namespace {

using std::chrono::milliseconds;
using testing::HasSubstr;

constexpr uint64_t kMiB = 1ull << 20;

// 1,000 MiB, all lazy, copied at 1,000 MiB/s and written at 100.
HidingInputs thousand(uint64_t free_mib, double step_s) {
  return {.staged_bytes = 1000 * kMiB,
          .lazy_bytes = 1000 * kMiB,
          .free_slot_bytes = free_mib * kMiB,
          .copy_bytes_per_s = 1000.0 * kMiB,
          .disk_bytes_per_s = 100.0 * kMiB,
          .step_s = step_s};
}

TEST(HidingBudget, state_that_fits_the_slots_waits_for_the_rest_of_the_copy) {
  const auto told = forecast_hiding(thousand(1000, 0.25));
  EXPECT_TRUE(told.is_measured);
  EXPECT_EQ(told.hidden_bytes, 250 * kMiB);
  EXPECT_EQ(told.guard_wait_ns, 750'000'000u);
}

TEST(HidingBudget, long_step_hides_all) {
  for (const auto& inputs : {thousand(1000, 1.0), thousand(200, 8.0), thousand(0, 10.0)}) {
    const auto told = forecast_hiding(inputs);
    EXPECT_EQ(told.hidden_bytes, 1000 * kMiB);
    EXPECT_EQ(told.guard_wait_ns, 0u);
  }
}

TEST(HidingBudget, beyond_the_slots_the_disk_sets_the_pace) {
  const auto told = forecast_hiding(thousand(200, 2.0));
  EXPECT_EQ(told.hidden_bytes, 400 * kMiB);       // slots + rate x time
  EXPECT_EQ(told.guard_wait_ns, 6'000'000'000u);  // 800 MiB at 100 MiB/s, less 2 s
}

TEST(HidingBudget, disk_faster_than_the_copy_does_not_matter) {
  HidingInputs inputs = thousand(0, 0.5);
  inputs.disk_bytes_per_s = 5000.0 * kMiB;
  EXPECT_EQ(forecast_hiding(inputs).guard_wait_ns, 500'000'000u);
}

TEST(HidingBudget, eager_bytes_are_staged_too_but_not_counted_as_hidden) {
  HidingInputs inputs = thousand(1000, 0.25);
  inputs.lazy_bytes = 900 * kMiB;
  EXPECT_EQ(forecast_hiding(inputs).hidden_bytes, 150 * kMiB);
}

TEST(HidingBudget, slab_that_holds_all_leaves_nothing_to_wait_for) {
  HidingInputs inputs = thousand(0, 0.001);
  inputs.slab_bytes = 1000 * kMiB;
  const auto told = forecast_hiding(inputs);
  EXPECT_EQ(told.hidden_bytes, 1000 * kMiB);
  EXPECT_EQ(told.guard_wait_ns, 0u);
}

TEST(HidingBudget, without_measurements_only_memory_is_promised) {
  for (const auto forget :
       {&HidingInputs::copy_bytes_per_s, &HidingInputs::disk_bytes_per_s, &HidingInputs::step_s}) {
    HidingInputs inputs = thousand(200, 2.0);
    inputs.slab_bytes = 50 * kMiB;
    inputs.*forget = 0;
    const auto told = forecast_hiding(inputs);
    EXPECT_FALSE(told.is_measured);
    EXPECT_EQ(told.hidden_bytes, 250 * kMiB);
    EXPECT_EQ(told.guard_wait_ns, 0u);
  }
  HidingInputs fits = thousand(1000, 2.0);
  fits.disk_bytes_per_s = 0;
  EXPECT_TRUE(forecast_hiding(fits).is_measured);
}

TEST(HidingBudget, log_line_says_what_would_help) {
  const HidingInputs slow_disk = thousand(200, 2.0);
  EXPECT_THAT(describe_wait(slow_disk, forecast_hiding(slow_disk)),
              HasSubstr("400 of 1000 MiB are copied within the 2000 ms to the next step, which "
                        "then waits about 6000 ms; 800 MiB of free staging memory"));
  const HidingInputs short_step = thousand(1000, 0.25);
  EXPECT_THAT(describe_wait(short_step, forecast_hiding(short_step)),
              HasSubstr("copying alone takes 1000 ms"));
}

TEST(HidingMeter, measures_rates_and_the_time_to_the_next_mutation) {
  HidingMeter meter;
  HidingInputs inputs;
  meter.fill(inputs);
  EXPECT_EQ(inputs.copy_bytes_per_s + inputs.disk_bytes_per_s + inputs.step_s, 0);
  SnapshotReport report;
  report.total_bytes = report.written_bytes = 100 * kMiB;
  report.stage_ns = 3'000'000'000;
  report.slot_wait_ns = 2'000'000'000;
  report.write_ns = 4'000'000'000;
  meter.note_staged(report);
  meter.note_written(report);
  const auto start = Clock::now();
  meter.note_return(start);
  meter.note_mutation(start + milliseconds(500));
  meter.note_mutation(start + milliseconds(900));  // a second optimizer
  meter.fill(inputs);
  EXPECT_DOUBLE_EQ(inputs.copy_bytes_per_s, 100.0 * kMiB);
  EXPECT_DOUBLE_EQ(inputs.disk_bytes_per_s, 25.0 * kMiB);
  EXPECT_DOUBLE_EQ(inputs.step_s, 0.5);
}

TEST(HidingMeter, averages_move_and_small_writes_say_nothing) {
  HidingMeter meter;
  const auto start = Clock::now();
  for (const int ms : {1000, 2000}) {
    meter.note_return(start);
    meter.note_mutation(start + milliseconds(ms));
  }
  SnapshotReport small;
  small.written_bytes = kMiB;
  small.write_ns = 1;
  meter.note_written(small);
  HidingInputs inputs;
  meter.fill(inputs);
  EXPECT_DOUBLE_EQ(inputs.step_s, 1.3);
  EXPECT_EQ(inputs.disk_bytes_per_s, 0);
}

}  // namespace
}  // namespace tintype
