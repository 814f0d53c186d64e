// The only door to files and directories. Everything above talks to these three interfaces, so a
// test can inject any error at any operation and a simulated disk can drop what was not synced.
//
// Thread rule: a File may be written and read from several threads at distinct ranges; everything
// else of one object is used by one thread at a time. Names are relative to their Directory, so a
// later chdir of the process changes nothing. Errors carry path, operation, errno and a remedy.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/status.h"

namespace tintype {

struct FileInfo {
  enum class Kind { regular, directory, symlink, other };
  Kind kind = Kind::regular;
  uint64_t size_bytes = 0;
  uint64_t inode = 0;
  uint64_t device = 0;
  mode_t mode = 0;  // permission bits only
  int64_t modified_ns = 0;
  int64_t changed_ns = 0;  // the inode, its links and names included
  // A link of /proc's to what a process holds open. Its text is no path; all else here is of what
  // the kernel finds behind it.
  bool is_magic_link = false;
};

// One open file; its destructor closes it and thereby drops its lock.
class File {
 public:
  virtual ~File() = default;

  // Writes at most data.size() bytes; a short count is no error (the caller resumes).
  virtual Result<size_t> write_at(ByteView data, uint64_t offset) = 0;
  // Reads at most target.size() bytes; 0 is the end of the file.
  virtual Result<size_t> read_at(MutableBytes target, uint64_t offset) = 0;
  // Reserves blocks for [0, size_bytes); unsupported where the file system cannot.
  virtual Status allocate(uint64_t size_bytes) = 0;
  virtual Status truncate(uint64_t size_bytes) = 0;
  // fdatasync. A failure is final: the caller must never retry it on this file.
  virtual Status sync_data() = 0;
  virtual Result<FileInfo> info() = 0;
  virtual Status set_mode(mode_t mode) = 0;
  // Takes the exclusive flock without waiting; code `locked` when another holder has it.
  virtual Status try_lock() = 0;
  // Turns O_DIRECT on or off for later transfers.
  virtual Status set_direct(bool is_direct) = 0;
  // How much of [0, size_bytes) the page cache holds, from 0 to 1, by samples; 1 where the system
  // does not tell. Reading what is not held is faster past the cache.
  virtual double cached_share(uint64_t) { return 1; }
  // Shares the blocks of `source` (FICLONE), replacing the content; unsupported where impossible.
  virtual Status clone_from(File& source) = 0;
  // The kernel's descriptor for io_uring; -1 for a simulated file.
  virtual int descriptor() const = 0;
  // The path for error texts.
  virtual const std::string& path() const = 0;
};

// One open directory. `name` arguments are single path components.
class Directory {
 public:
  virtual ~Directory() = default;

  // A file without a name (O_TMPFILE), gone when closed; unsupported where the file system cannot.
  // `wanted_name` is what it shall become: error texts call it so.
  virtual Result<std::unique_ptr<File>> create_unnamed(std::string_view wanted_name,
                                                       mode_t mode) = 0;
  // O_CREAT | O_EXCL, read and write.
  virtual Result<std::unique_ptr<File>> create(std::string_view name, mode_t mode) = 0;
  // Follows a symlink. Never waits for the other end of a FIFO.
  virtual Result<std::unique_ptr<File>> open(std::string_view name, bool is_writable) = 0;
  // Gives an unnamed file its first name; already_exists if it is taken.
  virtual Status link_unnamed(File& file, std::string_view name) = 0;
  // Another name for the same file; unsupported where the file system has no hard links.
  virtual Status link(std::string_view existing, std::string_view name) = 0;
  // Replaces `to` atomically if it exists.
  virtual Status rename(std::string_view from, std::string_view to) = 0;
  // RENAME_EXCHANGE: both names stay, contents swapped; unsupported where impossible.
  virtual Status exchange(std::string_view first, std::string_view second) = 0;
  virtual Status remove(std::string_view name) = 0;
  // fsync of the directory: names survive a power cut after this.
  virtual Status sync() = 0;
  // Without following a symlink, but a magic one; not_found where nothing stands. "." is the
  // directory itself.
  virtual Result<FileInfo> info(std::string_view name) = 0;
  virtual Result<std::string> read_link(std::string_view name) = 0;
  virtual Result<std::vector<std::string>> list() = 0;
  // Bytes this user may still allocate here (f_bavail * f_frsize).
  virtual Result<uint64_t> available_bytes() = 0;
  virtual const std::string& path() const = 0;
};

class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<Directory>> open_directory(const std::string& path) = 0;
  // For reading files whose names are known: a directory that may be searched but not read serves.
  // It can neither be listed nor synced.
  virtual Result<std::unique_ptr<Directory>> open_to_look_up(const std::string& path) {
    return open_directory(path);
  }
  virtual Status create_directories(const std::string& path) = 0;
};

// The real one; stateless, lives forever.
FileSystem& posix_file_system();

// Reads a whole file, at most `limit_bytes`.
Result<ByteVector> read_whole(File& file, uint64_t limit_bytes);
// Writes all of `data` at `offset`, resuming short writes.
Status write_fully(File& file, ByteView data, uint64_t offset);

}  // namespace tintype
