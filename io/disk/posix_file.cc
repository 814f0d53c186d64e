#include "io/disk/posix_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/page_sizes.h"

namespace tintype {
namespace {

// The kernel moves at most this much in one call (MAX_RW_COUNT).
constexpr size_t kTransferBytesMax = 0x7ffff000;
// tmpfs gives up fallocate at every signal and undoes what it had: a timer could stop it for ever.
constexpr int kAllocateTries = 16;

constexpr uint64_t kCacheSamples = 64;
constexpr uint64_t kSamplePages = 16;

FileInfo::Kind kind_from(mode_t mode) {
  if (S_ISREG(mode)) return FileInfo::Kind::regular;
  if (S_ISDIR(mode)) return FileInfo::Kind::directory;
  if (S_ISLNK(mode)) return FileInfo::Kind::symlink;
  return FileInfo::Kind::other;
}

int64_t nanoseconds_from(const struct timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

FileInfo file_info_from(const struct stat& status) {
  return {.kind = kind_from(status.st_mode),
          .size_bytes = static_cast<uint64_t>(status.st_size),
          .inode = status.st_ino,
          .device = status.st_dev,
          .mode = status.st_mode & 07777,
          .modified_ns = nanoseconds_from(status.st_mtim),
          .changed_ns = nanoseconds_from(status.st_ctim)};
}

Status unsupported_status(int error_number, std::string_view operation, std::string_view path) {
  return errno_status(error_number, operation, path).with_code(StatusCode::unsupported);
}

Result<std::unique_ptr<File>> PosixFile::open(const std::function<int()>& open,
                                              std::string_view operation, std::string path) {
  std::unique_ptr<PosixFile> file(new PosixFile(open, std::move(path)));
  if (!file->descriptor_.is_open()) {
    return errno_status(file->descriptor_.open_error(), operation, file->path_);
  }
  return std::unique_ptr<File>(std::move(file));
}

Result<size_t> PosixFile::write_at(ByteView data, uint64_t offset) {
  const size_t size = std::min(data.size(), kTransferBytesMax);
  const ssize_t count = without_interrupts(
      [&] { return ::pwrite(descriptor(), data.data(), size, static_cast<off_t>(offset)); });
  if (count < 0) return errno_status(errno, "write", path_);
  return static_cast<size_t>(count);
}

Result<size_t> PosixFile::read_at(MutableBytes target, uint64_t offset) {
  const size_t size = std::min(target.size(), kTransferBytesMax);
  const ssize_t count = without_interrupts(
      [&] { return ::pread(descriptor(), target.data(), size, static_cast<off_t>(offset)); });
  if (count < 0) return errno_status(errno, "read", path_);
  return static_cast<size_t>(count);
}

Status PosixFile::allocate(uint64_t size_bytes) {
  int error_number = 0;
  for (int i = 0; i < kAllocateTries; ++i) {
    if (::fallocate(descriptor(), 0, 0, static_cast<off_t>(size_bytes)) == 0) return Status::ok();
    error_number = errno;
    if (error_number != EINTR) break;
  }
  if (error_number == EOPNOTSUPP || error_number == ENOSYS || error_number == EINTR) {
    return unsupported_status(error_number, "fallocate", path_);
  }
  return errno_status(error_number, "fallocate", path_);
}

Status PosixFile::truncate(uint64_t size_bytes) {
  const int result =
      without_interrupts([&] { return ::ftruncate(descriptor(), static_cast<off_t>(size_bytes)); });
  return result == 0 ? Status::ok() : errno_status(errno, "truncate", path_);
}

Status PosixFile::sync_data() {
  return ::fdatasync(descriptor()) == 0 ? Status::ok() : errno_status(errno, "fdatasync", path_);
}

Result<FileInfo> PosixFile::info() {
  struct stat status = {};
  if (::fstat(descriptor(), &status) != 0) return errno_status(errno, "stat", path_);
  return file_info_from(status);
}

Status PosixFile::set_mode(mode_t mode) {
  if (::fchmod(descriptor(), mode) == 0) return Status::ok();
  // File systems without permissions (vfat) answer EPERM to the owner.
  if (errno == EPERM || errno == EOPNOTSUPP) return unsupported_status(errno, "chmod", path_);
  return errno_status(errno, "chmod", path_);
}

Status PosixFile::try_lock() {
  if (without_interrupts([&] { return ::flock(descriptor(), LOCK_EX | LOCK_NB); }) == 0) {
    return Status::ok();
  }
  const int error_number = errno;
  if (error_number == EWOULDBLOCK) {
    return Status(StatusCode::locked, "lock '" + path_ + "': another process holds it",
                  error_number)
        .with_path(path_);
  }
  // ENOLCK: a network file system whose server keeps no locks.
  if (error_number == ENOLCK || error_number == ENOSYS || error_number == EOPNOTSUPP) {
    return unsupported_status(error_number, "lock", path_);
  }
  return errno_status(error_number, "lock", path_);
}

Status PosixFile::set_direct(bool is_direct) {
  const int flags = ::fcntl(descriptor(), F_GETFL);
  if (flags < 0) return errno_status(errno, "fcntl", path_);
  const int wanted = is_direct ? flags | O_DIRECT : flags & ~O_DIRECT;
  if (wanted == flags || ::fcntl(descriptor(), F_SETFL, wanted) == 0) return Status::ok();
  return unsupported_status(errno, "set O_DIRECT", path_);
}

// By mincore: it reads nothing itself, whereas preadv2(RWF_NOWAIT) starts the kernel's read-ahead.
double PosixFile::cached_share(uint64_t size_bytes) {
  if (size_bytes < kCacheSamples * kSamplePages * kPageBytes) return 1;
  void* const mapped = ::mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, descriptor(), 0);
  if (mapped == MAP_FAILED) return 1;
  const uint64_t stride = size_bytes / kCacheSamples / kPageBytes * kPageBytes;
  uint64_t cached_count = 0;
  std::array<unsigned char, kSamplePages> pages = {};
  for (uint64_t i = 0; i < kCacheSamples; ++i) {
    auto* const sample = static_cast<std::byte*>(mapped) + i * stride;
    if (::mincore(sample, kSamplePages * kPageBytes, pages.data()) != 0) pages.fill(1);
    cached_count += static_cast<uint64_t>(
        std::count_if(pages.begin(), pages.end(), [](unsigned char page) { return page & 1u; }));
  }
  ::munmap(mapped, size_bytes);
  return static_cast<double>(cached_count) / (kCacheSamples * kSamplePages);
}

Status PosixFile::clone_from(File& source) {
  if (source.descriptor() < 0) return unsupported_status(EOPNOTSUPP, "clone", path_);
  const int result =
      without_interrupts([&] { return ::ioctl(descriptor(), FICLONE, source.descriptor()); });
  if (result == 0) return Status::ok();
  switch (errno) {
    case EOPNOTSUPP:
    case ENOTTY:
    case EINVAL:
    case EXDEV:
    case ENOSYS: return unsupported_status(errno, "clone", path_);
    default: return errno_status(errno, "clone", path_);
  }
}

}  // namespace tintype
