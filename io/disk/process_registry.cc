#include "io/disk/process_registry.h"

#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <set>
#include <unordered_set>
#include <utility>

namespace tintype {

struct ProcessRegistry {
  std::mutex mutex;
  std::unordered_set<Descriptor*> descriptors;
  std::set<std::pair<uint64_t, uint64_t>> used_directories;

  // Never destroyed: descriptors may be closed while the program ends.
  static ProcessRegistry& instance() {
    static ProcessRegistry* const registry = [] {
      auto* made = new ProcessRegistry();
      pthread_atfork([] { instance().mutex.lock(); }, [] { instance().mutex.unlock(); },
                     [] { instance().forget_in_child(); });
      return made;
    }();
    return *registry;
  }

  void forget_in_child() {
    for (Descriptor* descriptor : descriptors) descriptor->close_in_child();
    descriptors.clear();
    used_directories.clear();
    mutex.unlock();
  }
};

Descriptor::Descriptor(const std::function<int()>& open) {
  ProcessRegistry& registry = ProcessRegistry::instance();
  std::lock_guard lock(registry.mutex);
  number_ = open();
  if (number_ >= 0) {
    registry.descriptors.insert(this);
  } else {
    open_error_ = errno;
  }
}

// The close itself runs outside the lock: the last close of a removed file frees its blocks, which
// may take long, and neither a fork nor another open should wait for it.
Descriptor::~Descriptor() {
  if (number_ < 0) return;
  struct stat status = {};
  const bool is_known = ::fstat(number_, &status) == 0;
  ProcessRegistry& registry = ProcessRegistry::instance();
  {
    std::lock_guard lock(registry.mutex);
    is_closing_ = true;
    device_ = is_known ? status.st_dev : 0;
    inode_ = is_known ? status.st_ino : 0;
  }
  ::close(number_);
  std::lock_guard lock(registry.mutex);
  registry.descriptors.erase(this);
}

int Descriptor::release() {
  ProcessRegistry& registry = ProcessRegistry::instance();
  std::lock_guard lock(registry.mutex);
  registry.descriptors.erase(this);
  return std::exchange(number_, -1);
}

void Descriptor::close_in_child() {
  const int number = std::exchange(number_, -1);
  if (is_closing_) {
    struct stat status = {};
    if (::fstat(number, &status) != 0) return;
    if (status.st_dev != device_ || status.st_ino != inode_) return;
  }
  ::close(number);
}

bool is_first_use_of_directory(uint64_t device, uint64_t inode) {
  ProcessRegistry& registry = ProcessRegistry::instance();
  std::lock_guard lock(registry.mutex);
  return registry.used_directories.emplace(device, inode).second;
}

}  // namespace tintype
