// Random schedules over simulated devices: whatever the order in which copies and kernels run, no
// ordering rule is broken, and a file that is accepted holds the state at the call.
//
// 300 schedules, 10,000 with TINTYPE_FULL=1, in four parts for ctest to run side by side.
#include <array>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <map>
#include <thread>

#include "base/log.h"
#include "engine/engine.h"
#include "engine/image_stream.h"
#include "tests/support/fault_write_queue.h"
#include "tests/support/guarded_state.h"
#include "tests/support/simulated_device.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

using testing::IsEmpty;

constexpr uint64_t kParts = 4;
constexpr uint64_t kSchedulesOfPart = 75;
constexpr uint64_t kSchedulesOfPartFull = 2'500;
constexpr uint64_t kExtentBytes = 8 << 10;
constexpr StreamHandle kMain = 0;
constexpr StreamHandle kSide = 7;

using Outcomes = std::map<StatusCode, size_t>;

struct ModelStorage {
  ByteVector memory;
  uint32_t device = kHostMemory;
  bool is_lazy = false;
  uint64_t generation = 0;  // as the job sees it; a device may still have to get there
};

ByteVector content(size_t storage, uint64_t generation, size_t size_bytes) {
  std::mt19937_64 random(storage * 1'000'003 + generation);
  ByteVector bytes(size_bytes);
  for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
  return bytes;
}

struct ModelSave {
  std::string path;
  std::string at_call;
  std::shared_ptr<Snapshot> snapshot;
  bool is_cancelled = false;
  bool is_lied_about = false;  // its witness says that something changed
};

class Schedule {
 public:
  Schedule(uint64_t seed, const std::string& directory)
      : random_(seed), directory_(directory), disk_random_(seed) {
    for (size_t i = 0, count = 1 + random_() % 3; i < count; ++i) {
      devices_.push_back(std::make_unique<SimulatedDevice>("sim:" + std::to_string(i), random_()));
      if (random_() % 6 == 0) devices_.back()->set_failure_percent(3);
      slabs_.emplace_back(random_() % 2 == 0 ? random_() % 400'000 : 0);
    }
    make_storages();
    make_engine();
  }

  void run(Outcomes& outcomes) {
    for (int step = 0; step < 8; ++step) {
      if (random_() % 2 == 0) save();
      mutate(false);
      before_mutation();
      mutate(true);
    }
    check(outcomes);
    ASSERT_OK(engine_->close());
    for (auto& device : devices_) {
      device->synchronize();
      EXPECT_THAT(device->broken_rules(), IsEmpty());
      chunks_ += device->copied_chunks();
    }
  }

  uint64_t chunks() const { return chunks_; }

 private:
  void make_storages() {
    for (size_t i = 0, count = 1 + random_() % 12; i < count; ++i) {
      constexpr std::array<size_t, 4> kSizesMax = {8, 300, 9'000, 60'000};
      ModelStorage storage;
      storage.memory = content(i, 0, random_() % kSizesMax[random_() % kSizesMax.size()]);
      storage.is_lazy = random_() % 3 != 0;
      if (random_() % 4 != 0) storage.device = static_cast<uint32_t>(random_() % devices_.size());
      storages_.push_back(std::move(storage));
    }
    for (const ModelStorage& storage : storages_) {
      if (storage.device != kHostMemory) devices_[storage.device]->add_region(storage.memory);
    }
  }

  void make_engine() {
    EngineOptions options;
    options.extent_bytes = kExtentBytes;
    options.staging_bytes = kExtentBytes * (random_() % 3 == 0 ? 64 : 6 + random_() % 6);
    options.copy_threads = 2;
    options.max_in_flight = 3;
    options.make_write_queue = [this]() -> Result<std::unique_ptr<WriteQueue>> {
      return std::unique_ptr<WriteQueue>(std::make_unique<FaultWriteQueue>(
          make_queue("pwrite", 2),
          [this](const WriteRequest& request, uint64_t) { return look_at(request); }));
    };
    engine_ = std::move(Engine::create(std::move(options)).value());
  }

  // On the writer's thread: what goes to the disk must have arrived from its device.
  WriteFault look_at(const WriteRequest& request) {
    for (auto& device : devices_) {
      if (device->is_in_use(request.data)) {
        device->note_broken_rule("written to disk while a copy into it is in flight");
      }
    }
    if (disk_random_() % 8 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(disk_random_() % 300));
    }
    return {};
  }

  SaveRequest request(const std::string& path, bool is_guarded) {
    SaveRequest made;
    TargetFile file;
    file.path = path;
    file.object.pickle = ByteVector(200, std::byte{5});
    for (uint32_t i = 0; i < storages_.size(); ++i) {
      const ModelStorage& storage = storages_[i];
      made.storages.push_back({.address = storage.memory.data(),
                               .size_bytes = storage.memory.size(),
                               .device = storage.device,
                               .is_lazy = is_guarded && storage.is_lazy});
      file.object.storages.push_back(i);
    }
    made.files.push_back(std::move(file));
    for (size_t i = 0; i < devices_.size(); ++i) {
      made.devices.push_back({.device = devices_[i].get(), .stream = kMain, .slab = slabs_[i]});
    }
    made.storage_owner = owner();
    return made;
  }

  // Notes where it is let go while a device still reads what it keeps.
  std::shared_ptr<const void> owner() {
    return {this, [](Schedule* schedule) {
              for (const ModelStorage& storage : schedule->storages_) {
                if (storage.device == kHostMemory) continue;
                SimulatedDevice& device = *schedule->devices_[storage.device];
                if (device.is_in_use(storage.memory)) device.note_broken_rule("storages let go");
              }
            }};
  }

  std::string image() const {
    SaveRequest made;
    std::vector<ByteVector> memory;
    TargetFile file;
    file.object.pickle = ByteVector(200, std::byte{5});
    for (uint32_t i = 0; i < storages_.size(); ++i) {
      memory.push_back(content(i, storages_[i].generation, storages_[i].memory.size()));
      made.storages.push_back({.address = memory.back().data(), .size_bytes = memory[i].size()});
      file.object.storages.push_back(i);
    }
    made.files.push_back(std::move(file));
    const auto stream = ImageStream::open(std::move(made)).value();
    std::string whole;
    for (auto piece = stream->next(); !piece.empty(); piece = stream->next()) {
      whole += as_text(piece);
    }
    return whole;
  }

  void save() {
    ModelSave save;
    save.path = directory_ + "/" + std::to_string(saves_.size());
    save.at_call = image();
    const bool is_guarded = random_() % 3 != 0;
    SaveRequest made = request(save.path, is_guarded);
    if (is_guarded) {
      save.is_lied_about = random_() % 12 == 0;
      made.witness =
          std::make_unique<RecordingWitness>(save.is_lied_about ? lying_witness_ : witness_);
    }
    auto snapshot = engine_->save_async(std::move(made));
    ASSERT_OK(snapshot);
    save.snapshot = std::move(snapshot).value();
    if (random_() % 10 == 0) save.is_cancelled = save.snapshot->cancel();
    saves_.push_back(std::move(save));
  }

  // Some of the storages that are lazy, or some of the others.
  void mutate(bool is_lazy) {
    for (size_t i = 0; i < storages_.size(); ++i) {
      if (storages_[i].is_lazy != is_lazy || random_() % 4 == 0) continue;
      ModelStorage& storage = storages_[i];
      const uint64_t generation = ++storage.generation;
      const auto write = [&storage, i, generation] {
        const ByteVector bytes = content(i, generation, storage.memory.size());
        std::copy(bytes.begin(), bytes.end(), storage.memory.begin());
      };
      if (storage.device == kHostMemory) {
        write();
      } else {
        const StreamHandle stream = is_lazy && is_on_side_ ? kSide : kMain;
        devices_[storage.device]->launch(stream, storage.memory.data(), write);
      }
    }
    if (is_lazy && is_on_side_) join(kMain, kSide);
  }

  // The optimizer works on the main stream or on one beside it.
  void before_mutation() {
    is_on_side_ = random_() % 3 == 0;
    std::vector<DeviceStream> streams;
    if (is_on_side_) {
      join(kSide, kMain);
      for (auto& device : devices_) streams.push_back({device.get(), kSide});
    }
    ASSERT_OK(engine_->before_mutation({}, streams));
  }

  void join(StreamHandle later, StreamHandle earlier) {
    for (auto& device : devices_) {
      ASSERT_OK(device->make_wait(later, device->record(earlier).value()));
    }
  }

  void check(Outcomes& outcomes) {
    for (const ModelSave& save : saves_) {
      const Status status = *save.snapshot->wait_durable(std::nullopt);
      ++outcomes[status.code()];
      if (status.is_ok()) {
        EXPECT_FALSE(save.is_cancelled || save.is_lied_about);
        EXPECT_TRUE(read_text(save.path) == save.at_call) << save.path << " is torn";
      } else {
        EXPECT_EQ(::access(save.path.c_str(), F_OK), -1);
      }
      EXPECT_TRUE(status.code() != StatusCode::torn || save.is_lied_about) << status.to_string();
      EXPECT_TRUE(status.code() != StatusCode::cancelled || save.is_cancelled);
      ::unlink(save.path.c_str());
    }
  }

  std::mt19937_64 random_;
  const std::string directory_;
  std::mt19937_64 disk_random_;  // of the writer's thread
  std::vector<std::unique_ptr<SimulatedDevice>> devices_;
  std::vector<ByteVector> slabs_;
  std::vector<ModelStorage> storages_;
  WitnessRecord witness_;
  WitnessRecord lying_witness_{.changed = [] { return std::vector<uint32_t>{0}; }};
  std::unique_ptr<Engine> engine_;
  std::vector<ModelSave> saves_;
  bool is_on_side_ = false;
  uint64_t chunks_ = 0;
};

class DeviceSchedules : public testing::TestWithParam<uint64_t> {};

TEST_P(DeviceSchedules, no_rule_is_broken_and_accepted_files_hold_the_state_at_the_call) {
  set_log_sink([](std::string_view) {});  // what cannot be hidden is no news here
  const bool is_full = std::getenv("TINTYPE_FULL") != nullptr;  // NOLINT(concurrency-mt-unsafe)
  const uint64_t count = is_full ? kSchedulesOfPartFull : kSchedulesOfPart;
  const uint64_t first_seed = 1 + GetParam() * count;
  const TempDir directory(fast_parent());
  Outcomes outcomes;
  uint64_t chunks = 0;
  for (uint64_t seed = first_seed; seed < first_seed + count; ++seed) {
    SCOPED_TRACE("schedule " + std::to_string(seed));
    Schedule schedule(seed, directory.path());
    schedule.run(outcomes);
    chunks += schedule.chunks();
    if (HasFailure()) break;
  }
  std::cout << count << " schedules, " << chunks << " chunks copied; saves:";
  for (const auto& [code, saves] : outcomes) std::cout << " " << to_string(code) << " " << saves;
  std::cout << "\n";
  for (const StatusCode code :
       {StatusCode::ok, StatusCode::cancelled, StatusCode::torn, StatusCode::io_error}) {
    EXPECT_GT(outcomes[code], count / 50) << to_string(code);
  }
}

INSTANTIATE_TEST_SUITE_P(Parts, DeviceSchedules, testing::Range(uint64_t{0}, kParts));

}  // namespace
}  // namespace tintype
