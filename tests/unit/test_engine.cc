// The pipeline on a real directory: what is saved, in which order, and what waiting means.
#include <unistd.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/engine.h"
#include "engine/image_stream.h"
#include "io/archive/extent_encoder.h"

namespace tintype {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class EngineTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "tintype-engine-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  // A request over `memory_`, filled with a pattern that depends on `seed`.
  SaveRequest request(const std::string& name, uint64_t seed, size_t storage_bytes = 1u << 20) {
    fill(seed, storage_bytes);
    SaveRequest made;
    made.storages.push_back({memory_.data(), memory_.size()});
    TargetFile file;
    file.path = path(name);
    file.object.pickle = ByteVector(100, static_cast<std::byte>(seed));
    file.object.storages = {0};
    made.files.push_back(std::move(file));
    return made;
  }

  void fill(uint64_t seed, size_t storage_bytes) {
    std::mt19937_64 random(seed);
    memory_.resize(storage_bytes);
    for (auto& byte : memory_) byte = static_cast<std::byte>(random());
  }

  ByteVector expected(const std::string& name, uint64_t seed, size_t storage_bytes = 1u << 20) {
    auto stream = ImageStream::open(request(name, seed, storage_bytes)).value();
    ByteVector image;
    for (auto piece = stream->next(); !piece.empty(); piece = stream->next()) {
      append_bytes(image, piece);
    }
    return image;
  }

  ByteVector content(const std::string& name) const {
    std::ifstream file(path(name), std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto bytes = as_bytes(text);
    return {bytes.begin(), bytes.end()};
  }

  std::vector<std::string> names() const {
    std::vector<std::string> found;
    for (const auto& entry : fs::directory_iterator(directory_)) {
      found.push_back(entry.path().filename());
    }
    return found;
  }

  static Status wait(const std::shared_ptr<Snapshot>& snapshot) {
    return *snapshot->wait_published(std::nullopt);
  }

  fs::path directory_;
  ByteVector memory_;
};

std::unique_ptr<Engine> make_engine(EngineOptions options = {}) {
  return std::move(Engine::create(std::move(options)).value());
}

TEST_F(EngineTest, saved_file_is_the_planned_image) {
  auto engine = make_engine();
  for (size_t size : {0u, 1u, 4095u, 1u << 20, (9u << 20) + 17}) {
    auto snapshot = engine->save_async(request("x.pth", size, size)).value();
    ASSERT_TRUE(wait(snapshot).is_ok()) << wait(snapshot).to_string();
    ASSERT_EQ(content("x.pth"), expected("x.pth", size, size)) << size;
    const SnapshotReport report = snapshot->report();
    EXPECT_EQ(report.state, SnapshotState::published);
    EXPECT_EQ(report.written_bytes, report.total_bytes);
    EXPECT_GT(report.durable_ns, report.blocking_ns);
  }
  EXPECT_THAT(names(), testing::ElementsAre("x.pth"));
}

TEST_F(EngineTest, file_holds_the_state_at_the_call_with_a_pool_smaller_than_the_state) {
  auto engine = make_engine({.staging_bytes = 256 << 10, .extent_bytes = 64 << 10});
  for (uint64_t seed = 1; seed <= 30; ++seed) {
    auto snapshot = engine->save_async(request("x.pth", seed, 3 << 20)).value();
    std::fill(memory_.begin(), memory_.end(), std::byte{0xAA});
    ASSERT_TRUE(wait(snapshot).is_ok());
    ASSERT_EQ(content("x.pth"), expected("x.pth", seed, 3 << 20));
  }
}

TEST_F(EngineTest, two_images_share_storages_and_both_are_right) {
  auto engine = make_engine({.extent_bytes = 64 << 10});
  SaveRequest both = request("full.pth", 5, 2 << 20);
  both.files.push_back(both.files[0]);
  both.files[1].path = path("light.pth");
  both.files[1].object.pickle = ByteVector(5000, std::byte{9});
  auto snapshot = engine->save_async(std::move(both)).value();
  ASSERT_TRUE(wait(snapshot).is_ok());
  EXPECT_EQ(content("full.pth"), expected("full.pth", 5, 2 << 20));
  EXPECT_EQ(snapshot->report().file_count, 2u);
  EXPECT_EQ(fs::file_size(path("full.pth")) + fs::file_size(path("light.pth")),
            snapshot->report().total_bytes);
}

TEST_F(EngineTest, newest_of_overlapping_saves_to_one_path_wins) {
  auto engine = make_engine({.max_in_flight = 8});
  std::vector<std::shared_ptr<Snapshot>> snapshots;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    snapshots.push_back(engine->save_async(request("x.pth", seed)).value());
  }
  for (auto& snapshot : snapshots) EXPECT_TRUE(wait(snapshot).is_ok());
  EXPECT_EQ(content("x.pth"), expected("x.pth", 20));
  EXPECT_THAT(names(), testing::ElementsAre("x.pth"));
}

TEST_F(EngineTest, cancelled_save_leaves_the_old_file_and_no_temp) {
  auto engine = make_engine({.byte_rate_limit = 1 << 20});
  ASSERT_TRUE(wait(engine->save_async(request("x.pth", 1, 1000)).value()).is_ok());
  auto slow = engine->save_async(request("x.pth", 2, 40 << 20)).value();
  EXPECT_FALSE(slow->wait_durable(50ms).has_value());  // timed out, nothing changed
  EXPECT_TRUE(slow->cancel());
  EXPECT_EQ(wait(slow).code(), StatusCode::cancelled);
  EXPECT_EQ(content("x.pth"), expected("x.pth", 1, 1000));
  EXPECT_THAT(names(), testing::ElementsAre("x.pth"));
  EXPECT_FALSE(slow->cancel() && false);
  EXPECT_EQ(engine->stats().saves_cancelled, 1u);
}

TEST_F(EngineTest, cancelled_save_ends_before_an_earlier_slow_one) {
  auto engine = make_engine({.extent_bytes = 64 << 10, .byte_rate_limit = 1 << 20});
  auto slow = engine->save_async(request("slow.pth", 1)).value();
  auto cancelled = engine->save_async(request("cancelled.pth", 2)).value();
  ASSERT_TRUE(cancelled->cancel());
  EXPECT_EQ(wait(cancelled).code(), StatusCode::cancelled);
  EXPECT_FALSE(slow->is_done());
  EXPECT_TRUE(wait(slow).is_ok());
  EXPECT_THAT(names(), testing::ElementsAre("slow.pth"));
}

TEST_F(EngineTest, failure_of_the_save_that_asks_is_kept_for_the_next) {
  auto engine = make_engine({.extent_bytes = 64 << 10, .byte_rate_limit = 8 << 20});
  fs::create_directory(path("late"));
  auto failing = engine->save_async(request("late/x.pth", 1)).value();
  fs::remove_all(path("late"));
  static_cast<void>(engine->wait());
  EXPECT_THAT(engine->take_unseen_failures(failing.get()), testing::IsEmpty());
  EXPECT_EQ(engine->take_unseen_failures().size(), 1u);
}

TEST_F(EngineTest, published_save_can_no_longer_be_cancelled) {
  auto engine = make_engine();
  auto snapshot = engine->save_async(request("x.pth", 1)).value();
  ASSERT_TRUE(wait(snapshot).is_ok());
  EXPECT_FALSE(snapshot->cancel());
  EXPECT_TRUE(wait(snapshot).is_ok());
}

TEST_F(EngineTest, missing_directory_is_refused_at_the_call) {
  auto engine = make_engine();
  const auto result = engine->save_async(request("missing/x.pth", 1));
  ASSERT_FALSE(result.is_ok());
  EXPECT_EQ(result.status().code(), StatusCode::not_found);
  EXPECT_EQ(result.status().error_number(), ENOENT);
  EXPECT_THAT(result.status().to_string(), testing::HasSubstr("create the directory"));
}

TEST_F(EngineTest, busy_engine_skips_or_raises_as_asked) {
  for (const WhenBusy when_busy : {WhenBusy::skip, WhenBusy::raise}) {
    auto engine =
        make_engine({.max_in_flight = 1, .when_busy = when_busy, .byte_rate_limit = 8 << 20});
    auto first = engine->save_async(request("a.pth", 1, 20 << 20)).value();
    auto second = engine->save_async(request("b.pth", 2));
    if (when_busy == WhenBusy::skip) {
      ASSERT_TRUE(second.is_ok());
      EXPECT_TRUE(second.value()->is_skipped());
      EXPECT_TRUE(wait(second.value()).is_ok());
    } else {
      ASSERT_FALSE(second.is_ok());
      EXPECT_EQ(second.status().code(), StatusCode::busy);
    }
    EXPECT_TRUE(first->cancel());
    EXPECT_FALSE(fs::exists(path("b.pth")));
  }
}

TEST_F(EngineTest, save_that_was_waited_for_has_given_its_place_back) {
  auto engine = make_engine({.max_in_flight = 1, .when_busy = WhenBusy::raise});
  for (uint64_t i = 0; i < 200; ++i) {
    auto snapshot = engine->save_async(request("x.pth", i, 1000));
    ASSERT_TRUE(snapshot.is_ok()) << i << ": " << snapshot.status().to_string();
    ASSERT_TRUE(snapshot.value()->wait_durable(std::nullopt)->is_ok());
    EXPECT_EQ(engine->stats().saves_published, i + 1);
  }
}

TEST_F(EngineTest, waiting_is_not_for_saves_that_start_meanwhile) {
  auto engine = make_engine({.byte_rate_limit = 1});
  auto first = engine->save_async(request("a.pth", 1)).value();
  std::atomic<bool> is_waiting = false;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  Status status;
  std::thread waiting([&] {
    status = engine->wait([&] {
      is_waiting = true;
      return std::chrono::steady_clock::now() > deadline;
    });
  });
  while (!is_waiting) std::this_thread::yield();
  auto second = engine->save_async(request("b.pth", 2)).value();
  first->cancel();
  waiting.join();
  EXPECT_TRUE(status.is_ok()) << status.to_string();
  EXPECT_FALSE(second->is_done());
  second->cancel();
}

TEST_F(EngineTest, waiting_for_a_slot_of_the_busy_engine_is_counted) {
  auto engine = make_engine({.max_in_flight = 1, .byte_rate_limit = 32 << 20});
  auto first = engine->save_async(request("a.pth", 1, 17 << 20)).value();
  auto second = engine->save_async(request("b.pth", 2)).value();
  EXPECT_TRUE(fs::exists(path("a.pth")));
  EXPECT_GT(second->report().busy_wait_ns, 100'000'000u);
  EXPECT_GE(second->report().blocking_ns, second->report().busy_wait_ns);
}

TEST_F(EngineTest, interrupt_while_copying_cancels_and_cleans_up) {
  auto engine =
      make_engine({.staging_bytes = 1 << 20, .extent_bytes = 64 << 10, .byte_rate_limit = 4 << 20});
  ASSERT_TRUE(wait(engine->save_async(request("x.pth", 1, 1000)).value()).is_ok());
  std::atomic<int> asked{0};
  const auto result =
      engine->save_async(request("x.pth", 2, 60 << 20), [&] { return ++asked == 2; });
  ASSERT_FALSE(result.is_ok());
  EXPECT_EQ(result.status().code(), StatusCode::interrupted);
  EXPECT_GE(asked.load(), 2);
  EXPECT_EQ(content("x.pth"), expected("x.pth", 1, 1000));
  EXPECT_THAT(names(), testing::ElementsAre("x.pth"));
  EXPECT_TRUE(wait(engine->save_async(request("x.pth", 3)).value()).is_ok());
}

TEST_F(EngineTest, unseen_failure_is_handed_out_once_and_a_seen_one_never) {
  auto engine = make_engine();
  for (const bool is_seen : {false, true}) {
    auto snapshot = engine->save_async(request("gone/x.pth", 1));
    ASSERT_FALSE(snapshot.is_ok());  // refused at the call: nothing to hand out later
    fs::create_directory(path("late"));
    auto engine_slow = make_engine({.byte_rate_limit = 8 << 20});
    auto failing = engine_slow->save_async(request("late/x.pth", 1, 4 << 20)).value();
    fs::remove_all(path("late"));
    if (is_seen) {
      EXPECT_FALSE(wait(failing).is_ok());
    }
    static_cast<void>(engine_slow->wait());
    const auto unseen = engine_slow->take_unseen_failures();
    EXPECT_EQ(unseen.size(), is_seen ? 0u : 1u);
    EXPECT_TRUE(engine_slow->take_unseen_failures().empty());
  }
}

TEST_F(EngineTest, several_threads_may_save_at_once) {
  auto engine = make_engine({.extent_bytes = 64 << 10, .max_in_flight = 3});
  std::vector<std::jthread> threads;
  std::atomic<int> durable{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      ByteVector memory(300'000, static_cast<std::byte>(t));
      for (int i = 0; i < 10; ++i) {
        SaveRequest mine;
        mine.storages.push_back({memory.data(), memory.size()});
        TargetFile file;
        file.path = path(std::to_string(t) + ".pth");
        file.object.pickle = ByteVector(10);
        file.object.storages = {0};
        mine.files.push_back(std::move(file));
        durable += wait(engine->save_async(std::move(mine)).value()).is_ok() ? 1 : 0;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(durable.load(), 40);
  EXPECT_EQ(names().size(), 4u);
}

TEST_F(EngineTest, destructor_drains_pending_saves) {
  auto engine = make_engine({.byte_rate_limit = 32 << 20});
  auto snapshot = engine->save_async(request("x.pth", 4, 9 << 20)).value();
  EXPECT_FALSE(snapshot->is_done());
  engine.reset();
  EXPECT_TRUE(snapshot->is_done());
  EXPECT_EQ(content("x.pth"), expected("x.pth", 4, 9 << 20));
}

TEST_F(EngineTest, closed_engine_refuses_saves_and_memory) {
  auto engine = make_engine();
  ASSERT_TRUE(engine->close().is_ok());
  ASSERT_TRUE(engine->close().is_ok());
  EXPECT_FALSE(engine->save_async(request("x.pth", 1)).is_ok());
  EXPECT_FALSE(engine->prepare(1 << 20).is_ok());
  EXPECT_EQ(engine->stats().staging_bytes, 0u);
}

TEST_F(EngineTest, byte_rate_limit_paces_the_writes_and_progress_follows) {
  auto engine = make_engine({.extent_bytes = 1 << 20, .byte_rate_limit = 20 << 20});
  const auto start = std::chrono::steady_clock::now();
  auto snapshot = engine->save_async(request("x.pth", 1, 10 << 20)).value();
  bool was_inside = false;
  while (!snapshot->is_done()) {
    was_inside |= snapshot->progress() > 0.1 && snapshot->progress() < 0.9;
    std::this_thread::sleep_for(5ms);
  }
  EXPECT_TRUE(was_inside);
  EXPECT_GT(std::chrono::steady_clock::now() - start, 300ms);
  EXPECT_EQ(snapshot->progress(), 1.0);
}

TEST_F(EngineTest, prepared_pool_is_large_enough_and_stays_so) {
  auto engine = make_engine({.extent_bytes = 1 << 20});
  ASSERT_TRUE(engine->prepare(300 << 20).is_ok());
  const uint64_t prepared = engine->stats().staging_bytes;
  EXPECT_GE(prepared, 300u << 20);
  ASSERT_TRUE(wait(engine->save_async(request("x.pth", 1, 20 << 20)).value()).is_ok());
  EXPECT_EQ(engine->stats().staging_bytes, prepared);
}

TEST_F(EngineTest, stats_say_whether_planes_are_coded_the_best_way) {
  EXPECT_EQ(make_engine()->stats().encode_note.empty(), has_huffman_mode());
}

// Encoders hold a slot each, for good: saves of any form need as much memory beside those.
TEST_F(EngineTest, pool_has_room_for_the_slots_that_encoders_hold) {
  constexpr uint64_t kExtentBytes = 1 << 20;
  constexpr uint64_t kStateBytes = 300 << 20;  // more than the smallest pool
  constexpr uint64_t kHeldBytes = 6 * kExtentBytes;
  const EngineOptions options{.extent_bytes = kExtentBytes, .encode_threads = 6};
  auto small_first = make_engine(options);
  SaveRequest small = request("x.pth.ttz", 1, 4096);
  small.files[0].form = {.form = FileForm::planes};
  ASSERT_TRUE(wait(small_first->save_async(std::move(small)).value()).is_ok());
  ASSERT_TRUE(small_first->prepare(kStateBytes).is_ok());
  EXPECT_GE(small_first->stats().staging_bytes, kStateBytes * 5 / 4 + kHeldBytes);

  auto prepared = make_engine(options);
  ASSERT_TRUE(prepared->prepare(kStateBytes, nullptr, true).is_ok());
  const uint64_t staging_bytes = prepared->stats().staging_bytes;
  EXPECT_GE(staging_bytes, kStateBytes * 5 / 4 + kHeldBytes);
  SaveRequest compressed = request("y.pth.ttz", 1, 20 << 20);
  compressed.files[0].form = {.form = FileForm::planes};
  ASSERT_TRUE(wait(prepared->save_async(std::move(compressed)).value()).is_ok());
  EXPECT_EQ(prepared->stats().staging_bytes, staging_bytes);
}

}  // namespace
}  // namespace tintype
