// One file's save with one operation failing, for every operation and every error: up to step 8b
// the old content stands, at 9a it is put back, then the new file is durable; no temp stays behind.
#include <cerrno>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "io/disk/atomic_file.h"
#include "io/disk/temp_names.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using testing::HasSubstr;

constexpr std::string_view kOld = "the old content";
constexpr std::string_view kNew = "the new content, which is longer";

struct Scenario {
  const char* name;
  bool has_old = false;
  bool is_through_symlink = false;
  bool is_named_temp = false;
  bool may_replace = true;
  bool has_exchange = true;  // simulated disk only
};

constexpr Scenario kScenarios[] = {
    {.name = "new_file"},
    {.name = "replaced_file", .has_old = true},
    {.name = "symlink_target", .has_old = true, .is_through_symlink = true},
    {.name = "named_temp", .is_named_temp = true},
    {.name = "named_temp_replaces", .has_old = true, .is_named_temp = true},
    {.name = "new_file_only", .may_replace = false},
};

constexpr int kErrors[] = {EIO, ENOSPC, EDQUOT, EROFS, EMFILE, EACCES, ESTALE, ETIMEDOUT};

// The folder of a scenario on either file system: "real/x.pth", perhaps "x.link" beside "real".
class Bench {
 public:
  virtual ~Bench() = default;
  virtual FileSystem& file_system() = 0;
  virtual std::string root() const = 0;
  std::string folder() const { return root() + "/real"; }
  std::string target() const { return folder() + "/x.pth"; }
  std::string link() const { return root() + "/x.link"; }
};

class SimulatedBench final : public Bench {
 public:
  explicit SimulatedBench(const Scenario& scenario)
      : disk_(SimulatedDiskOptions{.has_exchange = scenario.has_exchange}) {
    EXPECT_OK(disk_.create_directories(folder()));
    if (scenario.has_old) disk_.put_file(target(), std::string(kOld), 0640);
    if (scenario.is_through_symlink) disk_.put_symlink(link(), "real/x.pth");
  }
  FileSystem& file_system() override { return disk_; }
  std::string root() const override { return "/logdir"; }

 private:
  SimulatedDisk disk_;
};

class PosixBench final : public Bench {
 public:
  explicit PosixBench(const Scenario& scenario) {
    std::filesystem::create_directory(folder());
    if (scenario.has_old) write_text(target(), std::string(kOld));
    if (scenario.is_through_symlink) std::filesystem::create_symlink("real/x.pth", link());
  }
  FileSystem& file_system() override { return posix_file_system(); }
  std::string root() const override { return directory_.path(); }

 private:
  TempDir directory_;
};

Status save(FileSystem& file_system, const std::string& path, bool is_named_temp,
            bool may_replace = true) {
  TINTYPE_ASSIGN_OR_RETURN(
      auto file, AtomicFile::open(file_system, path,
                                  {.is_named_temp = is_named_temp, .may_replace = may_replace}));
  TINTYPE_RETURN_IF_ERROR(file->begin(kNew.size()));
  TINTYPE_RETURN_IF_ERROR(write_fully(file->file(), as_bytes(kNew.substr(0, 10)), 0));
  TINTYPE_RETURN_IF_ERROR(write_fully(file->file(), as_bytes(kNew.substr(10)), 10));
  return file->commit(kNew.size());
}

std::map<std::string, std::string> contents(FileSystem& file_system, const std::string& folder) {
  std::map<std::string, std::string> found;
  const auto directory = file_system.open_directory(folder).value();
  const auto names = directory->list().value();
  for (const std::string& name : names) {
    const auto file = directory->open(name, false).value();
    found[name] = std::string(as_text(read_whole(*file, 1 << 20).value()));
  }
  return found;
}

std::optional<std::string_view> before(const Scenario& scenario) {
  return scenario.has_old ? std::optional(kOld) : std::nullopt;
}

// What a save may meet and succeed all the same: it was looking, or tidying up.
bool is_tolerated(const FaultInjector::Operation& operation, const std::string& target) {
  static const std::set<std::string, std::less<>> always = {"available_bytes", "list", "open",
                                                            "remove"};
  if (always.contains(operation.name)) return true;
  if (operation.name == "try_lock") return operation.path == target;  // of the replaced file
  return operation.name == "info" && operation.path.ends_with("/.");
}

void expect_good_error(const Status& status, int error_number,
                       const FaultInjector::Operation& operation, const Bench& bench) {
  EXPECT_EQ(status.error_number(), error_number);
  EXPECT_THAT(status.to_string(), HasSubstr(errno_name(error_number)));
  EXPECT_THAT(status.to_string(), HasSubstr(operation.name));
  EXPECT_THAT(std::string(status.path()), testing::StartsWith(bench.root()));
  EXPECT_THAT(status.to_string(), HasSubstr(bench.root()));
}

void expect_untouched_or_saved(const Scenario& scenario, Bench& bench, const Status& status,
                               const FaultInjector::Operation& operation, int error_number) {
  auto found = contents(bench.file_system(), bench.folder());
  if (status.is_ok()) {
    EXPECT_TRUE(is_tolerated(operation, bench.target())) << operation.name << " was ignored";
    EXPECT_EQ(found["x.pth"], kNew);
    const bool has_second_name = scenario.has_old || !scenario.may_replace;
    const size_t orphans = operation.name == "remove" && has_second_name ? 1 : 0;
    EXPECT_EQ(found.size(), 1 + orphans);
    const auto removed = remove_orphans(bench.file_system(), bench.folder(), {});
    ASSERT_OK(removed);
    EXPECT_EQ(removed->size(), orphans);
    return;
  }
  expect_good_error(status, error_number, operation, bench);
  const auto expected = before(scenario);
  EXPECT_EQ(found.size(), expected.has_value() ? 1u : 0u) << "a temp stays";
  if (expected.has_value()) {
    EXPECT_EQ(found["x.pth"], *expected);
  }
}

struct Counts {
  size_t faults = 0, failed = 0, tolerated = 0;
};

// Returns false when the save has fewer operations than `index`.
template <typename BenchType>
bool run_one(const Scenario& scenario, size_t index, int error_number, Counts& counts) {
  BenchType bench(scenario);
  FaultInjector injector;
  FaultFileSystem faulty(bench.file_system(), injector);
  injector.fail_at(index, error_number);
  const std::string path = scenario.is_through_symlink ? bench.link() : bench.target();
  const Status status = save(faulty, path, scenario.is_named_temp, scenario.may_replace);
  const auto trace = injector.trace();
  if (injector.fired() == 0) {
    EXPECT_OK(status);
    EXPECT_LE(trace.size(), index);
    return false;
  }
  SCOPED_TRACE(testing::Message() << scenario.name << ", operation " << index << " ("
                                  << trace[index].name << " " << trace[index].path << "), "
                                  << errno_name(error_number));
  EXPECT_EQ(injector.fired(), 1u);
  expect_untouched_or_saved(scenario, bench, status, trace[index], error_number);
  ++counts.faults;
  ++(status.is_ok() ? counts.tolerated : counts.failed);
  return true;
}

template <typename BenchType>
void run_matrix() {
  set_log_sink([](std::string_view) {});
  for (const Scenario& scenario : kScenarios) {
    Counts counts;
    for (const int error_number : kErrors) {
      size_t index = 0;
      while (run_one<BenchType>(scenario, index, error_number, counts)) ++index;
      EXPECT_GE(index, 12u);
    }
    std::cout << scenario.name << ": " << counts.faults << " faults fired, " << counts.failed
              << " failed the save, " << counts.tolerated << " were tolerated\n";
    EXPECT_GE(counts.failed, 8u * 10);
  }
  set_log_sink({});
}

TEST(CommitFaults, every_operation_and_error_on_the_simulated_disk) {
  run_matrix<SimulatedBench>();
}

TEST(CommitFaults, every_operation_and_error_on_the_real_file_system) { run_matrix<PosixBench>(); }

TEST(CommitFaults, what_must_not_be_replaced_stays_whenever_it_came) {
  PosixBench bench({.name = "", .has_old = true});
  EXPECT_THAT(save(bench.file_system(), bench.target(), false, false),
              IsStatus(StatusCode::already_exists, HasSubstr("EEXIST")));
  EXPECT_EQ(read_text(bench.target()), kOld);
  std::filesystem::remove(bench.target());
  FaultInjector injector;  // here it only shows when the last step before the name is over
  FaultFileSystem watched(bench.file_system(), injector);
  injector.set_observer([&](const FaultInjector::Operation& operation) {
    if (operation.name == "sync_data") write_text(bench.target(), std::string(kOld));
  });
  EXPECT_THAT(save(watched, bench.target(), false, false),
              IsStatus(StatusCode::already_exists, HasSubstr("step 8b")));
  EXPECT_EQ(read_text(bench.target()), kOld);
  EXPECT_EQ(contents(bench.file_system(), bench.folder()).size(), 1u) << "a temp stays";
}

TEST(CommitFaults, without_hard_links_a_file_that_must_not_be_replaced_stays_too) {
  SimulatedDisk disk({.has_unnamed_files = false, .has_hard_links = false});
  ASSERT_OK(disk.create_directories("/d"));
  EXPECT_OK(save(disk, "/d/x.pth", false, false));
  EXPECT_EQ(disk.files().at("/d/x.pth"), kNew);
  EXPECT_THAT(save(disk, "/d/x.pth", false, false),
              IsStatus(StatusCode::already_exists, HasSubstr("EEXIST")));
}

TEST(CommitFaults, at_9a_the_names_are_exchanged_back) {
  PosixBench bench({.name = "", .has_old = true});
  FaultInjector injector;
  FaultFileSystem faulty(bench.file_system(), injector);
  injector.fail_named("sync", EIO);
  const Status status = save(faulty, bench.target(), false);
  EXPECT_EQ(injector.fired(), 1u);
  EXPECT_THAT(status, IsStatus(StatusCode::io_error, HasSubstr("the old state was put back")));
  EXPECT_THAT(status, IsStatus(StatusCode::io_error, HasSubstr("step 9a")));
  EXPECT_EQ(read_text(bench.target()), kOld);
}

TEST(CommitFaults, at_9a_a_new_name_is_taken_away_again) {
  PosixBench bench({.name = ""});
  FaultInjector injector;
  FaultFileSystem faulty(bench.file_system(), injector);
  injector.fail_named("sync", EIO);
  EXPECT_THAT(save(faulty, bench.target(), false),
              IsStatus(StatusCode::io_error, HasSubstr("the old state was put back")));
  EXPECT_TRUE(contents(bench.file_system(), bench.folder()).empty());
}

TEST(CommitFaults, where_9a_cannot_be_undone_the_error_says_so_and_the_old_file_is_kept) {
  PosixBench bench({.name = "", .has_old = true});
  FaultInjector injector;
  FaultFileSystem faulty(bench.file_system(), injector);
  injector.fail_named("sync", EIO);
  injector.fail_named("exchange", EIO, 1);
  EXPECT_THAT(save(faulty, bench.target(), false),
              IsStatus(StatusCode::io_error, HasSubstr("may not be durable")));
  EXPECT_EQ(injector.fired(), 2u);
  EXPECT_EQ(read_text(bench.target()), kNew);
  auto found = contents(bench.file_system(), bench.folder());
  ASSERT_EQ(found.size(), 2u);
  found.erase("x.pth");
  EXPECT_TRUE(is_temp_name(found.begin()->first));
  EXPECT_EQ(found.begin()->second, kOld);
}

TEST(CommitFaults, without_exchange_a_failed_9a_says_that_the_new_file_stands) {
  SimulatedBench bench({.name = "", .has_old = true, .has_exchange = false});
  FaultInjector injector;
  FaultFileSystem faulty(bench.file_system(), injector);
  injector.fail_named("sync", EIO);
  EXPECT_THAT(save(faulty, bench.target(), false),
              IsStatus(StatusCode::io_error, HasSubstr("may not be durable")));
  const auto found = contents(bench.file_system(), bench.folder());
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found.at("x.pth"), kNew);
}

TEST(CommitFaults, a_failed_fsync_is_not_tried_again) {
  SimulatedBench bench({.name = "", .has_old = true});
  FaultInjector injector;
  FaultFileSystem faulty(bench.file_system(), injector);
  injector.fail_named("sync_data", EIO);
  EXPECT_THAT(save(faulty, bench.target(), false),
              IsStatus(StatusCode::io_error, HasSubstr("step 6")));
  size_t syncs = 0;
  for (const auto& operation : injector.trace()) {
    if (operation.name == "sync_data") ++syncs;
  }
  EXPECT_EQ(syncs, 1u);
}

TEST(CommitFaults, a_replaced_file_that_cannot_be_removed_is_a_warning) {
  PosixBench bench({.name = "", .has_old = true});
  FaultInjector injector;
  FaultFileSystem faulty(bench.file_system(), injector);
  injector.fail_named("remove", EIO);
  std::string warning;
  set_log_sink([&](std::string_view message) { warning = message; });
  EXPECT_OK(save(faulty, bench.target(), false));
  set_log_sink({});
  EXPECT_EQ(injector.fired(), 1u);
  EXPECT_THAT(warning, HasSubstr("the replaced file stays"));
  EXPECT_EQ(read_text(bench.target()), kNew);
}

TEST(CommitFaults, the_temp_goes_when_the_save_and_its_removal_meet_errors_later_on) {
  PosixBench bench({.name = "", .has_old = true, .is_named_temp = true});
  FaultInjector injector;
  FaultFileSystem faulty(bench.file_system(), injector);
  injector.fail_named("sync_data", EIO);
  injector.fail_named("remove", EIO);
  set_log_sink([](std::string_view) {});
  EXPECT_THAT(save(faulty, bench.target(), true), IsStatus(StatusCode::io_error, HasSubstr("6")));
  set_log_sink({});
  EXPECT_EQ(injector.fired(), 2u);
  const auto removed = remove_orphans(posix_file_system(), bench.folder(), {});
  ASSERT_OK(removed);
  EXPECT_EQ(removed->size(), 1u);
  EXPECT_EQ(read_text(bench.target()), kOld);
}

}  // namespace
}  // namespace tintype
