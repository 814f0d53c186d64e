// What `tintype doctor` concludes, from disks and kernels that lack one thing or another.
#include <algorithm>
#include <cerrno>
#include <cstdio>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "io/disk/backend.h"
#include "io/disk/temp_names.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/simulated_disk.h"
#include "tools/doctor/directory.h"
#include "tools/doctor/machine.h"
#include "tools/doctor/mount.h"
#include "tools/doctor/ring.h"
#include "tools/sizes.h"

namespace tintype::doctor {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr const char* kPath = "/disk";

struct Examined {
  Status status;
  std::vector<Finding> findings;

  const Finding* find(std::string_view topic) const {
    const auto place = std::find_if(findings.begin(), findings.end(),
                                    [&](const Finding& one) { return one.topic == topic; });
    return place == findings.end() ? nullptr : &*place;
  }
  std::string topics(Verdict verdict) const {
    std::string names;
    for (const Finding& one : findings) {
      if (one.verdict == verdict) names += one.topic + " ";
    }
    return names;
  }
};

Examined examine(FileSystem& file_system) {
  const auto queue = make_pwrite_queue(8, 1);
  Examined examined;
  auto directory = file_system.open_directory(kPath);
  EXPECT_TRUE(directory.is_ok());
  examined.status = examine_directory(**directory, *queue, examined.findings);
  return examined;
}

std::unique_ptr<SimulatedDisk> make_disk(SimulatedDiskOptions options = {}) {
  auto disk = std::make_unique<SimulatedDisk>(options);
  EXPECT_TRUE(disk->create_directories(kPath).is_ok());
  return disk;
}

// A simulated disk is memory: it refuses O_DIRECT.
TEST(DoctorDirectory, what_a_disk_can_do_is_found_in_the_order_of_a_save) {
  auto disk = make_disk({.has_clones = true, .capacity_bytes = 1u << 20});
  const Examined examined = examine(*disk);
  EXPECT_TRUE(examined.status.is_ok());
  EXPECT_EQ(examined.topics(Verdict::found),
            "free_space unnamed_files locks preallocation hard_links exchange reflinks ");
  EXPECT_EQ(examined.topics(Verdict::missing), "direct_io ");
  EXPECT_EQ(examined.find("free_space")->size_bytes, 1u << 20);
  EXPECT_THAT(disk->files(), IsEmpty());
}

TEST(DoctorDirectory, a_disk_that_can_do_little_still_takes_saves_and_the_costs_are_told) {
  auto disk = make_disk({.has_unnamed_files = false,
                         .has_exchange = false,
                         .has_hard_links = false,
                         .has_clones = false,
                         .capacity_bytes = 1u << 20});
  const Examined examined = examine(*disk);
  EXPECT_TRUE(examined.status.is_ok());
  EXPECT_EQ(examined.topics(Verdict::missing),
            "unnamed_files direct_io hard_links exchange reflinks ");
  for (const Finding& finding : examined.findings) {
    if (finding.verdict != Verdict::missing) continue;
    EXPECT_THAT(finding.cost, Not(IsEmpty())) << finding.topic;
  }
  EXPECT_THAT(disk->files(), IsEmpty());
}

TEST(DoctorDirectory, files_of_others_stay_as_they_are) {
  auto disk = make_disk();
  disk->put_file("/disk/best.pth", "weights");
  EXPECT_TRUE(examine(*disk).status.is_ok());
  const auto files = disk->files();
  ASSERT_EQ(files.size(), 1u);
  EXPECT_EQ(files.at("/disk/best.pth"), "weights");
}

TEST(DoctorDirectory, refused_direct_io_is_missing_and_saves_go_on) {
  auto disk = make_disk();
  FaultInjector injector;
  FaultFileSystem faulty(*disk, injector);
  injector.fail_named("set_direct", EINVAL);
  const Examined examined = examine(faulty);
  EXPECT_EQ(injector.fired(), 1u);
  EXPECT_TRUE(examined.status.is_ok());
  ASSERT_NE(examined.find("direct_io"), nullptr);
  EXPECT_EQ(examined.find("direct_io")->verdict, Verdict::missing);
}

struct Failure {
  const char* operation;
  int error_number;
  const char* topic;
};

class DoctorDirectoryFailure : public testing::TestWithParam<Failure> {};

TEST_P(DoctorDirectoryFailure, is_unusable_and_names_the_error) {
  auto disk = make_disk();
  FaultInjector injector;
  FaultFileSystem faulty(*disk, injector);
  injector.fail_named(GetParam().operation, GetParam().error_number);
  const Examined examined = examine(faulty);
  EXPECT_EQ(injector.fired(), 1u);
  EXPECT_EQ(examined.status.error_number(), GetParam().error_number);
  ASSERT_NE(examined.find(GetParam().topic), nullptr);
  EXPECT_EQ(examined.find(GetParam().topic)->verdict, Verdict::unusable);
  EXPECT_EQ(&examined.findings.back(), examined.find(GetParam().topic));
  EXPECT_THAT(examined.findings.back().detail, HasSubstr(errno_name(GetParam().error_number)));
}

INSTANTIATE_TEST_SUITE_P(
    Operations, DoctorDirectoryFailure,
    testing::Values(Failure{"create_unnamed", EROFS, "unnamed_files"},
                    Failure{"try_lock", EIO, "locks"}, Failure{"allocate", ENOSPC, "preallocation"},
                    Failure{"write_at", EIO, "direct_io"}, Failure{"sync_data", EIO, "data_sync"},
                    Failure{"link_unnamed", EACCES, "name_file"},
                    Failure{"link", EIO, "hard_links"}, Failure{"create", EDQUOT, "create_file"},
                    Failure{"exchange", EIO, "exchange"}, Failure{"rename", EIO, "directory_sync"},
                    Failure{"sync", EIO, "directory_sync"}),
    [](const auto& test) { return std::string(test.param.operation); });

TEST(DoctorDirectory, nothing_is_left_behind_whichever_operation_fails) {
  FaultInjector injector;
  auto first_disk = make_disk();
  FaultFileSystem whole(*first_disk, injector);
  EXPECT_TRUE(examine(whole).status.is_ok());
  const auto operations = injector.trace();
  size_t failed_count = 0;
  for (size_t i = 1; i < operations.size(); ++i) {  // 0 opens the directory
    auto disk = make_disk();
    FaultFileSystem faulty(*disk, injector);
    injector.reset();
    injector.fail_at(i, EIO);
    static_cast<void>(examine(faulty));
    EXPECT_EQ(injector.fired(), 1u) << operations[i].name;
    ++failed_count;
    if (operations[i].name == "remove") continue;  // that file stays, under a name that goes later
    EXPECT_THAT(disk->files(), IsEmpty()) << operations[i].name;
  }
  std::printf("%zu operations failed in turn\n", failed_count);
  EXPECT_GT(failed_count, 15u);
}

Status refusal(int error_number) {
  return {StatusCode::unsupported, "io_uring is not used", error_number};
}

TEST(DoctorRing, the_cause_of_a_refusal_is_told_from_the_kernels_own_settings) {
  const ProcessLimits plain;
  ProcessLimits filtered;
  filtered.has_seccomp_filter = true;
  ProcessLimits disabled = filtered;
  disabled.io_uring_disabled = 2;
  EXPECT_THAT(judge_ring(refusal(EPERM), disabled).remedy, HasSubstr("io_uring_disabled=0"));
  EXPECT_THAT(judge_ring(refusal(EPERM), filtered).detail, HasSubstr("seccomp"));
  EXPECT_THAT(judge_ring(refusal(ENOSYS), filtered).detail, HasSubstr("seccomp"));
  EXPECT_THAT(judge_ring(refusal(EPERM), plain).remedy, HasSubstr("SELinux"));
  EXPECT_THAT(judge_ring(refusal(ENOSYS), plain).remedy, HasSubstr("CONFIG_IO_URING"));
  EXPECT_THAT(judge_ring(refusal(ENOMEM), plain).remedy, HasSubstr("ulimit -l"));
  EXPECT_THAT(judge_ring(refusal(EMFILE), plain).remedy, HasSubstr("ulimit -n"));
  EXPECT_EQ(judge_ring(refusal(EPERM), plain).verdict, Verdict::missing);
  EXPECT_EQ(judge_ring(Status::ok(), filtered).verdict, Verdict::found);
}

TEST(DoctorRing, a_refused_registration_names_the_limit_and_how_to_raise_it) {
  ProcessLimits limits;
  limits.memlock_bytes = 64 << 10;
  const Status refused(StatusCode::resource_exhausted, "refused", ENOMEM);
  const Finding finding = judge_registration(refused, 256u << 20, limits);
  EXPECT_EQ(finding.verdict, Verdict::missing);
  EXPECT_THAT(finding.detail, HasSubstr("256 MiB refused, limit 64 KiB [ENOMEM"));
  EXPECT_THAT(finding.remedy, HasSubstr("ulimit -l unlimited"));
  EXPECT_EQ(judge_registration(Status::ok(), 256u << 20, limits).verdict, Verdict::found);
}

TEST(DoctorMount, file_systems_that_forget_are_told_from_those_that_keep) {
  EXPECT_EQ(judge_file_system("ext4").verdict, Verdict::found);
  EXPECT_EQ(judge_file_system("").verdict, Verdict::found);
  for (const char* type : {"tmpfs", "overlay", "nfs4", "cifs"}) {
    EXPECT_EQ(judge_file_system(type).verdict, Verdict::missing) << type;
  }
}

TEST(Sizes, amounts_are_shown_in_the_largest_unit_that_keeps_them_readable) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(1023), "1023 B");
  EXPECT_EQ(format_size(1024), "1 KiB");
  EXPECT_EQ(format_size(1536), "1.5 KiB");
  EXPECT_EQ(format_size(uint64_t{256} << 20), "256 MiB");
  EXPECT_EQ(format_size((uint64_t{1} << 30) - 1), "1.0 GiB");
  EXPECT_EQ(format_size(UINT64_MAX), "16.0 EiB");
}

TEST(DoctorMachine, a_zstd_without_the_mode_for_planes_is_told_with_its_cost) {
  EXPECT_EQ(judge_zstd("1.5.4", true).verdict, Verdict::found);
  const Finding finding = judge_zstd("1.3.8", false);
  EXPECT_EQ(finding.verdict, Verdict::missing);
  EXPECT_THAT(finding.detail, HasSubstr("1.3.8"));
  EXPECT_THAT(finding.cost, HasSubstr("slower"));
  EXPECT_THAT(finding.remedy, HasSubstr("1.5"));
}

}  // namespace
}  // namespace tintype::doctor
