// Inside a SimulatedDisk: inodes, folders, and what of them is on the medium.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/simulated_disk.h"

namespace tintype {

struct SimulatedInode {
  FileInfo::Kind kind = FileInfo::Kind::regular;
  uint64_t number = 0;
  std::string content;  // as programs see it; a symlink's target
  std::string durable;  // as the medium has it
  mode_t mode = 0644;
  int64_t changed_ns = 0;
  const void* lock_holder = nullptr;  // the open file that has the flock
};

using InodePointer = std::shared_ptr<SimulatedInode>;
using SimulatedNames = std::map<std::string, InodePointer, std::less<>>;
// One atomic change: what each name means after it; null where it is gone.
using NameChange = std::vector<std::pair<std::string, InodePointer>>;

struct SimulatedFolder {
  uint64_t number = 0;
  SimulatedNames names;
  SimulatedNames durable;
  std::vector<NameChange> unsynced;
};

struct SimulatedDisk::Core {
  SimulatedDiskOptions options;
  uint64_t device = 0;
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<SimulatedFolder>> folders;
  uint64_t next_number = 1;

  InodePointer make_inode(mode_t mode);
  uint64_t used_bytes() const;  // of files that have a name
};

void apply_change(SimulatedNames& names, const NameChange& change);

std::unique_ptr<Directory> make_simulated_directory(std::shared_ptr<SimulatedDisk::Core> core,
                                                    std::shared_ptr<SimulatedFolder> folder,
                                                    std::string path);

}  // namespace tintype
