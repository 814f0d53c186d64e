// A file system in memory that knows what would survive a power cut.
//
// Data survives from File::sync_data() on, names from Directory::sync() on. What was not synced
// survives in part: crash() decides for every block of 512 or 4096 bytes, for every size and for
// every change of names on its own, ordered or not, as POSIX allows. A change of names (a rename,
// an exchange) is atomic. Directories themselves are durable at once.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>

#include "io/disk/file_system.h"

namespace tintype {

struct SimulatedDiskOptions {
  bool has_unnamed_files = true;
  bool has_exchange = true;
  bool has_hard_links = true;
  bool has_clones = false;
  bool has_direct_io = false;       // then O_DIRECT can be set, and wants aligned writes
  bool is_sync_data_honest = true;  // false: a disk that says "written" and forgets
  bool is_directory_sync_honest = true;
  uint64_t capacity_bytes = UINT64_MAX;
};

class SimulatedDisk final : public FileSystem {
 public:
  struct Core;  // shared with open files and directories

  explicit SimulatedDisk(SimulatedDiskOptions options = {});
  ~SimulatedDisk() override;

  Result<std::unique_ptr<Directory>> open_directory(const std::string& path) override;
  Status create_directories(const std::string& path) override;

  // Puts a file or a symlink there, durably; the directory exists.
  void put_file(const std::string& path, const std::string& content, mode_t mode = 0644);
  // Makes it look untouched for that long.
  void make_older(const std::string& path, int64_t age_ns);
  void put_symlink(const std::string& path, const std::string& target);
  // Takes the directory and all it holds away, durably.
  void forget_directory(const std::string& path);

  // One disk that a power cut now could leave. This one stays as it is.
  std::unique_ptr<SimulatedDisk> crash(uint64_t seed) const;

  // What is visible: path to content (a symlink shows "-> target").
  std::map<std::string, std::string> files() const;
  // Equal for equal files().
  uint64_t hash() const;
  uint64_t used_bytes() const;

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace tintype
