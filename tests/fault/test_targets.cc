// Where a file may be saved to: tmpfs, a small ext4 that is full or read-only, and what is no file.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>

#include "tests/support/seeded_save.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr size_t kStateBytes = 4 << 20;

bool run_command(const std::string& command) {
  return std::system((command + " > /dev/null 2>&1").c_str()) == 0;
}

// A fresh ext4 of 32 MiB over a loop device.
class LoopMount {
 public:
  // Null where this process may not mount.
  static std::unique_ptr<LoopMount> make() {
    auto mount = std::unique_ptr<LoopMount>(new LoopMount());
    const std::string image = mount->base_ / "image";
    write_text(image, "");
    if (::truncate(image.c_str(), 32 << 20) != 0) return nullptr;
    std::filesystem::create_directory(mount->path());
    if (!run_command("mkfs.ext4 -q -F -m 0 " + image)) return nullptr;
    mount->is_mounted_ = run_command("mount -o loop " + image + " " + mount->path());
    if (!mount->is_mounted_) return nullptr;
    std::filesystem::remove(mount->path() + "/lost+found");
    return mount;
  }
  ~LoopMount() {
    if (is_mounted_) ::umount2(path().c_str(), MNT_DETACH);
  }

  std::string path() const { return base_ / "mount"; }
  void set_read_only(bool is_read_only) {
    ASSERT_TRUE(
        run_command(std::string("mount -o remount,") + (is_read_only ? "ro " : "rw ") + path()));
  }
  // Leaves about that many bytes to others.
  void leave_free(uint64_t bytes) {
    const std::string filler = path() + "/filler";
    write_text(filler, "");
    const auto space = std::filesystem::space(path());
    if (space.available <= bytes) return;
    const int number = ::open(filler.c_str(), O_WRONLY | O_CLOEXEC);
    EXPECT_EQ(::fallocate(number, 0, 0, static_cast<off_t>(space.available - bytes)), 0);
    ::close(number);
  }

 private:
  LoopMount() = default;
  TempDir base_;
  bool is_mounted_ = false;
};

// A tmpfs of 8 MiB, where this process may mount.
class SmallTmpfs {
 public:
  SmallTmpfs() : is_mounted_(run_command("mount -t tmpfs -o size=8m none " + base_.path())) {}
  ~SmallTmpfs() {
    if (is_mounted_) ::umount2(base_.path().c_str(), MNT_DETACH);
  }

  bool is_mounted() const { return is_mounted_; }
  std::string path() const { return base_.path(); }

 private:
  TempDir base_;
  bool is_mounted_;
};

class Targets : public testing::Test {
 protected:
  std::unique_ptr<Engine> engine_ = make_small_engine();
};

TEST_F(Targets, tmpfs_serves) {
  if (::access("/dev/shm", W_OK) != 0) GTEST_SKIP() << "/dev/shm is not writable";
  const TempDir directory("/dev/shm");
  for (const uint64_t seed : {1, 2}) {
    const SeededSave save(seed, kStateBytes);
    EXPECT_OK(save.run(*engine_, directory / "x.pth"));
    EXPECT_TRUE(save.is_held_by(directory / "x.pth"));
  }
  EXPECT_THAT(directory.names(), ElementsAre("x.pth"));
}

TEST_F(Targets, a_full_ext4_keeps_the_old_file_at_every_level_of_free_space) {
  const auto mount = LoopMount::make();
  if (mount == nullptr) GTEST_SKIP() << "no ext4 can be mounted over a loop device here";
  const std::string path = mount->path() + "/x.pth";
  uint64_t standing = 1;
  ASSERT_OK(SeededSave(standing, kStateBytes).run(*engine_, path));
  int refused = 0;
  int saved = 0;
  for (uint64_t percent = 0; percent <= 120; percent += 8) {
    const uint64_t seed = 100 + percent;
    mount->leave_free(kStateBytes * percent / 100);
    const Status status = SeededSave(seed, kStateBytes).run(*engine_, path);
    if (status.is_ok()) {
      ++saved;
      standing = seed;
    } else {
      ++refused;
      EXPECT_THAT(status, IsStatus(StatusCode::out_of_space, HasSubstr("ENOSPC")));
      EXPECT_THAT(status, IsStatus(StatusCode::out_of_space, HasSubstr("free space")));
    }
    EXPECT_TRUE(SeededSave(standing, kStateBytes).is_held_by(path)) << percent << " percent";
    size_t names = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(mount->path())) {
      ++names;
    }
    EXPECT_EQ(names, 2u) << "a temp stays";
  }
  std::cout << refused << " saves refused, " << saved << " fitted\n";
  EXPECT_GE(refused, 10);
  EXPECT_GE(saved, 1);
  std::filesystem::remove(mount->path() + "/filler");
  EXPECT_OK(SeededSave(7, kStateBytes).run(*engine_, path));
  EXPECT_TRUE(SeededSave(7, kStateBytes).is_held_by(path));
}

// A replaced file is freed behind the save that replaced it.
TEST_F(Targets, room_for_the_old_and_the_new_file_is_enough_for_save_after_save) {
  const SmallTmpfs mount;
  if (!mount.is_mounted()) GTEST_SKIP() << "no tmpfs can be mounted here";
  const std::string path = mount.path() + "/x.pth";
  const SeededSave saves[] = {SeededSave(0, 7 << 19), SeededSave(1, 7 << 19)};
  for (size_t i = 0; i < 100; ++i) {
    ASSERT_OK(saves[i % 2].run(*engine_, path)) << "save " << i;
  }
  EXPECT_TRUE(saves[1].is_held_by(path));
}

TEST_F(Targets, a_read_only_file_system_is_an_error_until_it_is_writable) {
  const auto mount = LoopMount::make();
  if (mount == nullptr) GTEST_SKIP() << "no ext4 can be mounted over a loop device here";
  const std::string path = mount->path() + "/x.pth";
  ASSERT_OK(SeededSave(1).run(*engine_, path));
  mount->set_read_only(true);
  const Status status = SeededSave(2).run(*engine_, path);
  EXPECT_EQ(status.error_number(), EROFS);
  EXPECT_THAT(status, IsStatus(StatusCode::io_error, HasSubstr("read-only: save elsewhere")));
  EXPECT_THAT(status.to_string(), HasSubstr(path));
  EXPECT_TRUE(SeededSave(1).is_held_by(path));
  mount->set_read_only(false);
  EXPECT_OK(SeededSave(3).run(*engine_, path));
  EXPECT_TRUE(SeededSave(3).is_held_by(path));
}

TEST_F(Targets, what_is_no_regular_file_is_refused_untouched) {
  const TempDir directory;
  const std::string fifo = directory / "fifo";
  const std::string folder = directory / "folder";
  const std::string device = directory / "device";
  const std::string link = directory / "link";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  ASSERT_EQ(::mkdir(folder.c_str(), 0700), 0);
  std::filesystem::create_symlink(fifo, link);
  const bool has_device = ::mknod(device.c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0;
  if (!has_device) std::cout << "no device node could be made: not tried\n";
  const auto expect_refused = [&](const std::string& path, StatusCode code) {
    struct stat before = {};
    struct stat after = {};
    ASSERT_EQ(::lstat(path.c_str(), &before), 0);
    const size_t name_count = directory.names().size();
    EXPECT_THAT(SeededSave(1).run(*engine_, path), IsStatus(code, HasSubstr(directory.path())));
    ASSERT_EQ(::lstat(path.c_str(), &after), 0);
    EXPECT_EQ(after.st_ino, before.st_ino);
    EXPECT_EQ(after.st_mode, before.st_mode);
    EXPECT_EQ(after.st_rdev, before.st_rdev);
    EXPECT_EQ(directory.names().size(), name_count);
  };
  expect_refused(fifo, StatusCode::unsupported);
  expect_refused(link, StatusCode::unsupported);
  if (has_device) expect_refused(device, StatusCode::unsupported);
  expect_refused(folder, StatusCode::io_error);
  EXPECT_EQ(SeededSave(1).run(*engine_, folder).error_number(), EISDIR);
}

}  // namespace
}  // namespace tintype
