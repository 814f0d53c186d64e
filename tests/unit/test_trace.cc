// The trace file: whole JSON at every flush, lanes by thread, any path as a detail.
#include <chrono>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "engine/trace.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

json events_of(const std::string& path, const std::string& phase) {
  json found = json::array();
  for (const json& event : json::parse(read_text(path))) {
    if (event["ph"] == phase) found.push_back(event);
  }
  return found;
}

TEST(Trace, is_whole_after_every_flush_and_after_its_end) {
  const TempDir directory;
  const std::string path = directory / "trace.json";
  {
    auto trace = Trace::create(path).value();
    const auto now = Clock::now();
    for (uint64_t save = 1; save <= 3; ++save) {
      trace->add("copy", now, now + std::chrono::microseconds(5), save);
      trace->flush();
      EXPECT_EQ(events_of(path, "X").size(), save);
    }
    trace->add("commit", now, now, 4);
  }
  const json spans = events_of(path, "X");
  ASSERT_EQ(spans.size(), 4u);
  EXPECT_EQ(spans[0]["dur"], 5.0);
  EXPECT_EQ(spans[3]["args"]["save"], 4);
}

TEST(Trace, is_whole_when_buffers_were_written_in_between) {
  const TempDir directory;
  const std::string path = directory / "trace.json";
  constexpr int kEvents = 5000;  // some 600 KB: ten buffers
  auto trace = Trace::create(path).value();
  for (int i = 0; i < kEvents; ++i) trace->add("copy", Clock::now(), Clock::now(), 1);
  trace->flush();
  EXPECT_EQ(events_of(path, "X").size(), static_cast<size_t>(kEvents));
}

TEST(Trace, gives_each_thread_a_named_lane) {
  const TempDir directory;
  const std::string path = directory / "trace.json";
  auto trace = Trace::create(path).value();
  constexpr size_t kThreads = 4, kEach = 100;
  std::vector<std::jthread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&] {
      for (size_t k = 0; k < kEach; ++k) trace->add("copy", Clock::now(), Clock::now(), k);
    });
  }
  threads.clear();
  trace->flush();
  std::map<int, size_t> spans_of_lane;
  for (const json& span : events_of(path, "X")) ++spans_of_lane[span["tid"].get<int>()];
  size_t named = 0;
  for (const json& event : events_of(path, "M")) {
    if (event["name"] == "thread_name") named += spans_of_lane.count(event["tid"].get<int>());
  }
  EXPECT_EQ(spans_of_lane.size(), kThreads);
  EXPECT_EQ(named, kThreads);
  for (const auto& [lane, count] : spans_of_lane) EXPECT_EQ(count, kEach) << lane;
}

TEST(Trace, holds_a_path_of_any_bytes) {
  const TempDir directory;
  const std::string path = directory / "trace.json";
  auto trace = Trace::create(path).value();
  trace->add_overlapping("save", Clock::now(), Clock::now(), 1, "a \"b\"\n\\ \xff");
  trace->flush();
  const json begin = events_of(path, "b"), end = events_of(path, "e");
  ASSERT_EQ(begin.size(), 1u);
  ASSERT_EQ(end.size(), 1u);
  EXPECT_EQ(begin[0]["id"], end[0]["id"]);
  EXPECT_EQ(begin[0]["args"]["path"], "a \"b\"\n\\ \xef\xbf\xbd");
}

TEST(Trace, replaces_the_file_of_an_earlier_run_and_needs_its_folder) {
  const TempDir directory;
  const std::string path = directory / "trace.json";
  write_text(path, std::string(10'000, 'x'));
  Trace::create(path).value()->add("copy", Clock::now(), Clock::now(), 1);
  EXPECT_EQ(events_of(path, "X").size(), 1u);
  EXPECT_EQ(Trace::create(directory / "none/trace.json").status().code(), StatusCode::not_found);
  EXPECT_EQ(Trace::create(directory / "").status().error_number(), EISDIR);
  EXPECT_EQ(Trace::create("/dev/null").status().code(), StatusCode::unsupported);
}

TEST(StageTimer, measures_once_with_and_without_a_trace) {
  const TempDir directory;
  const std::string path = directory / "trace.json";
  auto trace = Trace::create(path).value();
  const TraceContext traced{trace.get(), 7}, untraced{};
  {
    StageTimer stopped(traced, "sync");
    const StageTimer left(traced, "expose");
    StageTimer silent(untraced, "none");
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_GE(stopped.stop_ns(), 2'000'000u);
    EXPECT_GE(silent.stop_ns(), 2'000'000u);
  }
  trace->flush();
  const json spans = events_of(path, "X");
  ASSERT_EQ(spans.size(), 2u);
  EXPECT_EQ(spans[0]["name"], "sync");
  EXPECT_EQ(spans[1]["name"], "expose");
  EXPECT_GE(spans[0]["dur"].get<double>(), 2000);
}

}  // namespace
}  // namespace tintype
