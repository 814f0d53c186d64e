// Saves in a compressed form: whatever the pool, the threads and the disk do, what is decoded is
// the plain file, or the old file stands.
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/encode_crew.h"
#include "engine/restore/file_source.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/extent_decoder.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/seeded_save.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"
#include "tests/support/test_queues.h"

namespace tintype {
namespace {

using testing::HasSubstr;

constexpr size_t kStorageBytes = 3'000'000;  // many extents of the small engine

struct Form {
  const char* suffix;
  TargetForm target;
};
constexpr Form kForms[] = {
    {".zst", {.form = FileForm::zstd}},
    {".ttz", {.form = FileForm::planes}},
    {".ttz", {.form = FileForm::planes, .is_adaptive = true}},
};

Result<std::string> decoded(const std::string& path, FileForm form) {
  TINTYPE_ASSIGN_OR_RETURN(const auto source, FileSource::open(posix_file_system(), path));
  TINTYPE_ASSIGN_OR_RETURN(const FrameIndex index, read_frame_index(*source, form));
  const auto decoder = ExtentDecoder::create(form, index.has_checksums);
  std::string whole;
  for (const IndexedExtent& extent : index.extents) {
    TINTYPE_ASSIGN_OR_RETURN(const ByteVector encoded,
                             read_range(*source, extent.file_offset, extent.encoded_bytes));
    ByteVector plain(extent.plain_bytes);
    TINTYPE_RETURN_IF_ERROR(decoder->decode(extent, encoded, plain));
    whole += as_text(plain);
  }
  return whole;
}

EngineOptions small(EngineOptions options = {}) {
  options.extent_bytes = 256 << 10;
  if (options.staging_bytes == 0) options.staging_bytes = 4 << 20;
  return options;
}

class CompressedSaves : public testing::TestWithParam<Form> {
 protected:
  std::unique_ptr<Engine> make_engine(EngineOptions options = {}) {
    return std::move(Engine::create(small(std::move(options))).value());
  }
  std::string path() const { return directory_ / (std::string("x.pth") + GetParam().suffix); }
  SeededSave save_of(uint64_t seed) const {
    return SeededSave(seed, kStorageBytes, GetParam().target);
  }
  void expect_holds(const SeededSave& save) {
    const auto plain = decoded(path(), GetParam().target.form);
    ASSERT_OK(plain);
    EXPECT_TRUE(*plain == save.image());
  }

  TempDir directory_{fast_parent()};
  FaultInjector injector_;
  FaultFileSystem faulty_{posix_file_system(), injector_};
};

TEST_P(CompressedSaves, decode_to_the_plain_file_with_any_pool_and_any_threads) {
  for (const uint64_t staging_bytes : {512u << 10, 1u << 20, 8u << 20}) {
    for (const uint32_t threads : {1, 2, 5}) {
      SCOPED_TRACE(testing::Message() << staging_bytes << " bytes, " << threads << " threads");
      const auto engine = make_engine({.staging_bytes = staging_bytes, .encode_threads = threads});
      for (const uint64_t seed : {1, 2}) {
        const SeededSave save = save_of(seed);
        ASSERT_OK(save.run(*engine, path()));
        expect_holds(save);
      }
    }
  }
}

TEST_P(CompressedSaves, saves_of_all_forms_share_an_engine) {
  const auto engine = make_engine({.staging_bytes = 2 << 20, .encode_threads = 2});
  const SeededSave compressed = save_of(1);
  const SeededSave plain(2, kStorageBytes);
  std::vector<std::shared_ptr<Snapshot>> snapshots;
  for (int i = 0; i < 5; ++i) {
    snapshots.push_back(compressed.start(*engine, path()).value());
    snapshots.push_back(plain.start(*engine, directory_ / "plain.pth").value());
  }
  for (const auto& snapshot : snapshots) ASSERT_OK(*snapshot->wait_published(std::nullopt));
  expect_holds(compressed);
  EXPECT_TRUE(plain.is_held_by(directory_ / "plain.pth"));
}

TEST_P(CompressedSaves, report_tells_what_lies_on_the_disk) {
  const auto engine = make_engine();
  const auto snapshot = save_of(1).start(*engine, path()).value();
  ASSERT_OK(*snapshot->wait_published(std::nullopt));
  const SnapshotReport report = snapshot->report();
  EXPECT_EQ(report.stored_bytes, read_text(path()).size());
  EXPECT_EQ(report.total_bytes, save_of(1).image().size());
  EXPECT_EQ(report.written_bytes, report.total_bytes);
  EXPECT_GT(report.encode_ns, 0u);
}

TEST_P(CompressedSaves, any_failed_operation_leaves_the_old_file_or_the_new_one) {
  size_t fired = 0;
  std::set<std::string> operations;
  for (const int error : {EIO, ENOSPC}) {
    for (size_t index = 0;; ++index) {
      injector_.reset();
      const auto engine = make_engine({.file_system = &faulty_});
      const SeededSave old = save_of(1);
      ASSERT_OK(old.run(*engine, path()));
      injector_.reset();
      injector_.fail_at(index, error);
      const SeededSave next = save_of(2);
      const Status status = next.run(*engine, path());
      const auto failed = injector_.failed();
      injector_.reset();
      if (failed.empty()) break;  // fewer operations than that
      ++fired;
      operations.insert(failed.front().name);
      SCOPED_TRACE(failed.front().name);
      expect_holds(status.is_ok() ? next : old);
    }
  }
  EXPECT_GT(fired, 40u);
  EXPECT_TRUE(operations.contains("write_at") && operations.contains("truncate") &&
              operations.contains("sync_data"));
  std::cout << fired << " faults fired\n";
}

// The plain size is only a bound: what shrinks may fit where the plain file would not.
TEST_P(CompressedSaves, less_room_than_the_plain_file_needs_is_no_error) {
  const auto engine = make_engine({.file_system = &faulty_});
  for (const int error : {ENOSPC, EDQUOT, EFBIG}) {
    injector_.reset();
    injector_.fail_named("allocate", error);
    const SeededSave save = save_of(static_cast<uint64_t>(error));
    ASSERT_OK(save.run(*engine, path()));
    EXPECT_EQ(injector_.fired(), 1u);
    expect_holds(save);
  }
}

TEST_P(CompressedSaves, cancelled_while_it_encodes_leaves_nothing_and_frees_its_slots) {
  const auto engine = make_engine({.byte_rate_limit = 4 << 20});
  for (int i = 0; i < 5; ++i) {
    const auto snapshot = save_of(1).start(*engine, path()).value();
    EXPECT_TRUE(snapshot->cancel());
    EXPECT_THAT(*snapshot->wait_published(std::nullopt),
                IsStatus(StatusCode::cancelled, HasSubstr("cancel")));
  }
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
  const SeededSave save = save_of(2);
  ASSERT_OK(save.run(*engine, path()));
  expect_holds(save);
}

TEST_P(CompressedSaves, too_little_staging_memory_is_refused_and_said) {
  const auto engine =
      std::move(Engine::create({.staging_bytes = 64 << 10, .extent_bytes = 4096}).value());
  const auto refused = save_of(1).start(*engine, path());
  EXPECT_THAT(refused.status(), IsStatus(StatusCode::unsupported, HasSubstr("staging_bytes")));
  EXPECT_OK(SeededSave(1).run(*engine, directory_ / "plain.pth"));
}

INSTANTIATE_TEST_SUITE_P(Forms, CompressedSaves, testing::ValuesIn(kForms), [](const auto& param) {
  return std::string(to_string(param.param.target.form)) +
         (param.param.target.is_adaptive ? "_adaptive" : "");
});

TEST(EncodeCrew, holds_no_slot_where_its_wait_for_them_ended) {
  SlotPool pool(64 << 10);
  ASSERT_OK(pool.grow_to(8));
  std::vector<SlotLease> busy;
  for (int i = 0; i < 6; ++i) busy.push_back(*pool.lease(std::chrono::milliseconds(0)));
  const auto queue = make_queue("pwrite", 1);
  Writer writer(*queue, pool, {});
  EncodeCrew crew(writer, pool, 4, 8);
  int questions = 0;
  EXPECT_THAT(crew.reserve([&] { return ++questions == 4; }),
              IsStatus(StatusCode::cancelled, HasSubstr("ended")));
  EXPECT_EQ(pool.free_bytes(), 2 * pool.slot_bytes());
  EXPECT_EQ(crew.held_slots(false), 0u);
  busy.clear();
  ASSERT_OK(crew.reserve([] { return false; }));
  EXPECT_EQ(crew.held_slots(false), 4u);
  EXPECT_EQ(pool.free_bytes(), 4 * pool.slot_bytes());
}

TEST(EncodableExtent, fits_a_slot_once_encoded_and_wastes_little) {
  for (const uint64_t slot_bytes : {256u << 10, 1u << 20, 8u << 20, 64u << 20, 256u << 20}) {
    const auto extent_bytes = encodable_extent_bytes(slot_bytes);
    ASSERT_OK(extent_bytes);
    EXPECT_EQ(*extent_bytes % 4096, 0u);
    EXPECT_LE(encoded_bound_bytes(*extent_bytes), slot_bytes);
    EXPECT_GE(*extent_bytes, std::min<uint64_t>(slot_bytes, 64u << 20) * 3 / 4);
  }
  EXPECT_THAT(encodable_extent_bytes(4096), IsStatus(StatusCode::unsupported, HasSubstr("extent")));
}

}  // namespace
}  // namespace tintype
