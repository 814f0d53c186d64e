// The state machine of one save, without an engine.
#include <thread>

#include <gtest/gtest.h>

#include "engine/snapshot_core.h"

namespace tintype {
namespace {

using namespace std::chrono_literals;
using Milestone = SnapshotCore::Milestone;

Status io_error() { return {StatusCode::io_error, "injected"}; }

TEST(SnapshotCore, milestones_are_reached_in_order) {
  SnapshotCore core("x", 0);
  EXPECT_FALSE(core.wait(Milestone::staged, 0ns).has_value());
  core.set_staged();
  EXPECT_TRUE(core.wait(Milestone::staged, 0ns)->is_ok());
  EXPECT_FALSE(core.wait(Milestone::durable, 0ns).has_value());
  ASSERT_TRUE(core.pass_point_of_no_return());
  core.set_durable();
  EXPECT_TRUE(core.wait(Milestone::durable, 0ns)->is_ok());
  EXPECT_FALSE(core.wait(Milestone::published, 0ns).has_value());
  core.finish();
  EXPECT_TRUE(core.wait(Milestone::published, 0ns)->is_ok());
  EXPECT_EQ(core.report().state, SnapshotState::published);
}

TEST(SnapshotCore, first_error_wins_and_every_wait_returns_it) {
  SnapshotCore core("x", 0);
  core.fail(io_error());
  core.fail({StatusCode::out_of_space, "second"});
  EXPECT_FALSE(core.wait(Milestone::staged, 0ns).has_value());  // not final yet
  core.finish();
  EXPECT_FALSE(core.is_seen());
  for (const Milestone milestone : {Milestone::staged, Milestone::durable, Milestone::published}) {
    EXPECT_EQ(core.wait(milestone, 0ns)->code(), StatusCode::io_error);
  }
  EXPECT_TRUE(core.is_seen());
}

TEST(SnapshotCore, error_after_durability_spares_wait_durable) {
  SnapshotCore core("x", 0);
  core.set_staged();
  ASSERT_TRUE(core.pass_point_of_no_return());
  core.set_durable();
  core.fail(io_error());
  core.finish();
  EXPECT_TRUE(core.wait(Milestone::durable, 0ns)->is_ok());
  EXPECT_EQ(core.wait(Milestone::published, 0ns)->code(), StatusCode::io_error);
  EXPECT_EQ(core.report().state, SnapshotState::failed);
}

TEST(SnapshotCore, cancel_wins_before_step_8b_and_loses_after_it) {
  SnapshotCore early("x", 0);
  EXPECT_TRUE(early.request_cancel());
  EXPECT_TRUE(early.request_cancel());
  EXPECT_FALSE(early.pass_point_of_no_return());
  early.finish();
  EXPECT_EQ(early.wait(Milestone::published, 0ns)->code(), StatusCode::cancelled);
  EXPECT_EQ(early.report().state, SnapshotState::cancelled);

  SnapshotCore late("x", 0);
  EXPECT_TRUE(late.pass_point_of_no_return());
  EXPECT_FALSE(late.request_cancel());
  late.finish();
  EXPECT_EQ(late.report().state, SnapshotState::published);
}

TEST(SnapshotCore, callbacks_run_once_in_the_final_state) {
  SnapshotCore core("x", 0);
  int calls = 0;
  core.when_done([&] { ++calls; });
  EXPECT_EQ(calls, 0);
  core.finish();
  EXPECT_EQ(calls, 1);
  core.when_done([&] { ++calls; });
  EXPECT_EQ(calls, 2);
}

TEST(SnapshotCore, observer_is_told_of_the_end_of_work_and_of_doom) {
  SnapshotCore core("x", 0);
  int calls = 0;
  core.set_observer([&] { ++calls; });
  core.add_work(2);
  core.finish_work(1);
  EXPECT_EQ(calls, 0);
  EXPECT_TRUE(core.has_work());
  core.finish_work(1);
  EXPECT_EQ(calls, 1);
  EXPECT_FALSE(core.has_work());
  EXPECT_TRUE(core.request_cancel());
  EXPECT_EQ(calls, 2);
}

TEST(SnapshotCore, waiting_for_the_end_leaves_the_error_unseen) {
  SnapshotCore core("x", 0);
  EXPECT_FALSE(core.wait_done(1ms));
  core.fail(Status::internal("broken"));
  core.finish();
  EXPECT_TRUE(core.wait_done(1ms));
  EXPECT_FALSE(core.is_seen());
}

}  // namespace
}  // namespace tintype
