#include <dirent.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <utility>

#include <fmt/format.h>

#include "io/disk/file_system.h"
#include "io/disk/posix_file.h"
#include "io/disk/process_registry.h"

namespace tintype {
namespace {

class PosixDirectory final : public Directory {
 public:
  // `access` is O_RDONLY or O_PATH.
  PosixDirectory(std::string path, int access)
      : descriptor_([&] { return ::open(path.c_str(), access | O_DIRECTORY | O_CLOEXEC); }),
        path_(std::move(path)) {}

  const Descriptor& descriptor() const { return descriptor_; }

  Result<std::unique_ptr<File>> create_unnamed(std::string_view wanted_name, mode_t mode) override;
  Result<std::unique_ptr<File>> create(std::string_view name, mode_t mode) override;
  Result<std::unique_ptr<File>> open(std::string_view name, bool is_writable) override;
  Status link_unnamed(File& file, std::string_view name) override;
  Status link(std::string_view existing, std::string_view name) override;
  Status rename(std::string_view from, std::string_view to) override;
  Status exchange(std::string_view first, std::string_view second) override;
  Status remove(std::string_view name) override;
  Status sync() override;
  Result<FileInfo> info(std::string_view name) override;
  Result<std::string> read_link(std::string_view name) override;
  Result<std::vector<std::string>> list() override;
  Result<uint64_t> available_bytes() override;
  const std::string& path() const override { return path_; }

 private:
  bool is_of_proc() const;
  int number() const { return descriptor_.number(); }
  std::string path_of(std::string_view name) const {
    return path_.ends_with('/') ? path_ + std::string(name) : fmt::format("{}/{}", path_, name);
  }
  // `error_number` is an argument, as to get memory for the path may change errno.
  Status failed(int error_number, std::string_view operation, std::string_view name) const {
    return errno_status(error_number, operation, path_of(name));
  }
  Status status_of(int result, std::string_view operation, std::string_view name) const {
    return result == 0 ? Status::ok() : failed(errno, operation, name);
  }

  Descriptor descriptor_;
  const std::string path_;
};

Result<std::unique_ptr<File>> PosixDirectory::create_unnamed(std::string_view wanted_name,
                                                             mode_t mode) {
  const auto open_it = [&] {
    return without_interrupts(
        [&] { return ::openat(number(), ".", O_TMPFILE | O_RDWR | O_CLOEXEC, mode); });
  };
  auto file = PosixFile::open(open_it, "create unnamed file for", path_of(wanted_name));
  if (file.is_ok()) return file;
  const int error_number = file.status().error_number();
  // EISDIR: a kernel that does not know the flag and saw only "open a directory for writing".
  if (error_number == EOPNOTSUPP || error_number == EISDIR || error_number == EINVAL) {
    return unsupported_status(error_number, "create unnamed file", path_);
  }
  return file;
}

Result<std::unique_ptr<File>> PosixDirectory::create(std::string_view name, mode_t mode) {
  const std::string text(name);
  const auto open_it = [&] {
    return without_interrupts([&] {
      return ::openat(number(), text.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW,
                      mode);
    });
  };
  return PosixFile::open(open_it, "create", path_of(name));
}

// O_NONBLOCK: opening a FIFO must not wait for its other end. Regular files ignore it.
Result<std::unique_ptr<File>> PosixDirectory::open(std::string_view name, bool is_writable) {
  const std::string text(name);
  const int flags = (is_writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
  const auto open_it = [&] {
    return without_interrupts([&] { return ::openat(number(), text.c_str(), flags); });
  };
  return PosixFile::open(open_it, "open", path_of(name));
}

Status PosixDirectory::link_unnamed(File& file, std::string_view name) {
  const std::string text(name);
  int result = ::linkat(file.descriptor(), "", number(), text.c_str(), AT_EMPTY_PATH);
  if (result != 0 && errno == ENOENT) {  // without CAP_DAC_READ_SEARCH only this way is open
    const std::string link = fmt::format("/proc/self/fd/{}", file.descriptor());
    result = ::linkat(AT_FDCWD, link.c_str(), number(), text.c_str(), AT_SYMLINK_FOLLOW);
  }
  return status_of(result, "link unnamed file to", name);
}

Status PosixDirectory::link(std::string_view existing, std::string_view name) {
  const int result =
      ::linkat(number(), std::string(existing).c_str(), number(), std::string(name).c_str(), 0);
  if (result == 0) return Status::ok();
  // EPERM: a file system without hard links, or somebody else's file under protected_hardlinks.
  const int error_number = errno;
  if (error_number == EPERM || error_number == EMLINK || error_number == EOPNOTSUPP ||
      error_number == ENOSYS) {
    return unsupported_status(error_number, "link", path_of(name));
  }
  return failed(error_number, "link", name);
}

Status PosixDirectory::rename(std::string_view from, std::string_view to) {
  const int result =
      ::renameat(number(), std::string(from).c_str(), number(), std::string(to).c_str());
  return status_of(result, "rename temporary file to", to);
}

Status PosixDirectory::exchange(std::string_view first, std::string_view second) {
  const int result = ::renameat2(number(), std::string(first).c_str(), number(),
                                 std::string(second).c_str(), RENAME_EXCHANGE);
  if (result == 0) return Status::ok();
  const int error_number = errno;
  if (error_number == EINVAL || error_number == ENOSYS || error_number == EOPNOTSUPP) {
    return unsupported_status(error_number, "exchange", path_of(second));
  }
  return failed(error_number, "exchange", second);
}

Status PosixDirectory::remove(std::string_view name) {
  return status_of(::unlinkat(number(), std::string(name).c_str(), 0), "remove", name);
}

// EINVAL: a file system that knows no fsync of directories; its names are as durable as it makes
// them.
Status PosixDirectory::sync() {
  if (::fsync(number()) == 0 || errno == EINVAL) return Status::ok();
  return errno_status(errno, "fsync directory", path_);
}

bool PosixDirectory::is_of_proc() const {
  struct statfs system = {};
  return ::fstatfs(number(), &system) == 0 && system.f_type == PROC_SUPER_MAGIC;
}

// /proc's few true symlinks (self, mounts, net) are left to the kernel as well, which knows better.
Result<FileInfo> PosixDirectory::info(std::string_view name) {
  const std::string text(name);
  struct stat status = {};
  int result = ::fstatat(number(), text.c_str(), &status, AT_SYMLINK_NOFOLLOW);
  const bool is_magic_link = result == 0 && S_ISLNK(status.st_mode) && is_of_proc();
  if (is_magic_link) result = ::fstatat(number(), text.c_str(), &status, 0);
  if (result != 0) return failed(errno, "stat", name);
  FileInfo info = file_info_from(status);
  info.is_magic_link = is_magic_link;
  return info;
}

Result<std::string> PosixDirectory::read_link(std::string_view name) {
  std::array<char, PATH_MAX> target;
  const ssize_t size =
      ::readlinkat(number(), std::string(name).c_str(), target.data(), target.size());
  if (size < 0) return failed(errno, "readlink", name);
  return std::string(target.data(), static_cast<size_t>(size));
}

Result<std::vector<std::string>> PosixDirectory::list() {
  // A descriptor of its own: the read position belongs to the open file.
  const int number_of_list = ::openat(number(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (number_of_list < 0) return errno_status(errno, "list", path_);
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(number_of_list), ::closedir);
  if (stream == nullptr) {
    const int error_number = errno;
    ::close(number_of_list);
    return errno_status(error_number, "list", path_);
  }
  std::vector<std::string> names;
  for (;;) {
    errno = 0;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is this call's own
    const struct dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return errno_status(errno, "list", path_);
  return names;
}

Result<uint64_t> PosixDirectory::available_bytes() {
  struct statvfs space = {};
  if (without_interrupts([&] { return ::fstatvfs(number(), &space); }) != 0) {
    return errno_status(errno, "statvfs", path_);
  }
  if (space.f_blocks == 0) return Status::unsupported("no size limit is known for " + path_);
  return uint64_t{space.f_bavail} * space.f_frsize;
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<Directory>> open_directory(const std::string& path) override {
    return open(path, O_RDONLY);
  }

  Result<std::unique_ptr<Directory>> open_to_look_up(const std::string& path) override {
    return open(path, O_PATH);
  }

  Status create_directories(const std::string& path) override {
    for (size_t end = 0; end != std::string::npos;) {
      end = path.find('/', end + 1);
      const std::string part = path.substr(0, end);
      if (::mkdir(part.c_str(), 0777) == 0 || errno == EEXIST) continue;
      struct stat status = {};
      // A parent that stands already may answer EROFS or EACCES before EEXIST.
      const int error_number = errno;
      if (::stat(part.c_str(), &status) == 0) continue;
      return errno_status(error_number, "create directory", part);
    }
    return open_directory(path).status();
  }

 private:
  static Result<std::unique_ptr<Directory>> open(const std::string& path, int access) {
    auto directory = std::make_unique<PosixDirectory>(path, access);
    if (!directory->descriptor().is_open()) {
      return errno_status(directory->descriptor().open_error(), "open directory", path);
    }
    return std::unique_ptr<Directory>(std::move(directory));
  }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem file_system;
  return file_system;
}

}  // namespace tintype
