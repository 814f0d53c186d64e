#include "tests/support/simulated_disk.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <random>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "tests/support/simulated_core.h"

namespace tintype {
namespace {

// Chooses one legal outcome of a power cut.
class PowerCut {
 public:
  explicit PowerCut(uint64_t seed) : random_(seed) {}

  SimulatedNames surviving_names(const SimulatedFolder& folder) {
    SimulatedNames names = folder.durable;
    const size_t count = folder.unsynced.size();
    const uint64_t fashion = random_() % 4;
    const size_t prefix = random_() % (count + 1);
    for (size_t i = 0; i < count; ++i) {
      const bool is_kept = fashion == 0   ? i < prefix           // a journal, in order
                           : fashion == 1 ? true                 // all reached the medium
                                          : random_() % 2 == 0;  // any of them
      if (is_kept) apply_change(names, folder.unsynced[i]);
    }
    for (auto& [name, inode] : names) inode = surviving(inode);
    return names;
  }

 private:
  InodePointer surviving(const InodePointer& inode) {
    auto& copy = survivors_[inode.get()];
    if (copy == nullptr) {
      copy = std::make_shared<SimulatedInode>(*inode);
      copy->lock_holder = nullptr;
      copy->content = surviving_content(*inode);
      copy->durable = copy->content;
    }
    return copy;
  }

  std::string surviving_content(const SimulatedInode& inode) {
    if (inode.content == inode.durable) return inode.content;
    const size_t block = random_() % 2 == 0 ? 512 : 4096;
    std::string content(random_() % 2 == 0 ? inode.content.size() : inode.durable.size(), '\0');
    const uint64_t kept_of_8 = std::array<uint64_t, 3>{0, 4, 8}[random_() % 3];
    for (size_t start = 0; start < content.size(); start += block) {
      const std::string& source = random_() % 8 < kept_of_8 ? inode.content : inode.durable;
      if (start >= source.size()) continue;
      const size_t count = std::min({block, source.size() - start, content.size() - start});
      source.copy(content.data() + start, count, start);
    }
    return content;
  }

  std::mt19937_64 random_;
  std::unordered_map<const SimulatedInode*, InodePointer> survivors_;
};

uint64_t next_device() {
  static std::atomic<uint64_t> device = uint64_t{1} << 40;
  return ++device;
}

std::pair<std::string, std::string> split_path(const std::string& path) {
  const size_t slash = path.rfind('/');
  TINTYPE_CHECK(slash != std::string::npos);
  return {path.substr(0, slash), path.substr(slash + 1)};
}

}  // namespace

SimulatedDisk::SimulatedDisk(SimulatedDiskOptions options) : core_(std::make_shared<Core>()) {
  core_->options = options;
  core_->device = next_device();
}

SimulatedDisk::~SimulatedDisk() = default;

Result<std::unique_ptr<Directory>> SimulatedDisk::open_directory(const std::string& path) {
  std::lock_guard lock(core_->mutex);
  const auto place = core_->folders.find(path);
  if (place == core_->folders.end()) return errno_status(ENOENT, "open directory", path);
  return make_simulated_directory(core_, place->second, path);
}

Status SimulatedDisk::create_directories(const std::string& path) {
  std::lock_guard lock(core_->mutex);
  for (size_t end = 0; end != std::string::npos;) {
    end = path.find('/', end + 1);
    auto& folder = core_->folders[path.substr(0, end)];
    if (folder != nullptr) continue;
    folder = std::make_shared<SimulatedFolder>();
    folder->number = core_->next_number++;
  }
  return Status::ok();
}

void SimulatedDisk::put_file(const std::string& path, const std::string& content, mode_t mode) {
  const auto [parent, name] = split_path(path);
  std::lock_guard lock(core_->mutex);
  const InodePointer inode = core_->make_inode(mode);
  inode->content = inode->durable = content;
  SimulatedFolder& folder = *core_->folders.at(parent);
  folder.names[name] = folder.durable[name] = inode;
}

void SimulatedDisk::make_older(const std::string& path, int64_t age_ns) {
  const auto [parent, name] = split_path(path);
  std::lock_guard lock(core_->mutex);
  core_->folders.at(parent)->names.at(name)->changed_ns -= age_ns;
}

void SimulatedDisk::put_symlink(const std::string& path, const std::string& target) {
  put_file(path, target, 0777);
  const auto [parent, name] = split_path(path);
  std::lock_guard lock(core_->mutex);
  core_->folders.at(parent)->names.at(name)->kind = FileInfo::Kind::symlink;
}

void SimulatedDisk::forget_directory(const std::string& path) {
  std::lock_guard lock(core_->mutex);
  std::erase_if(core_->folders, [&](const auto& entry) {
    return entry.first == path || entry.first.starts_with(path + "/");
  });
}

std::unique_ptr<SimulatedDisk> SimulatedDisk::crash(uint64_t seed) const {
  std::lock_guard lock(core_->mutex);
  auto after = std::make_unique<SimulatedDisk>(core_->options);
  after->core_->next_number = core_->next_number;
  PowerCut cut(seed);
  for (const auto& [path, folder] : core_->folders) {
    auto survivor = std::make_shared<SimulatedFolder>();
    survivor->number = folder->number;
    survivor->names = cut.surviving_names(*folder);
    survivor->durable = survivor->names;
    after->core_->folders.emplace(path, std::move(survivor));
  }
  return after;
}

std::map<std::string, std::string> SimulatedDisk::files() const {
  std::lock_guard lock(core_->mutex);
  std::map<std::string, std::string> files;
  for (const auto& [path, folder] : core_->folders) {
    for (const auto& [name, inode] : folder->names) {
      const bool is_symlink = inode->kind == FileInfo::Kind::symlink;
      files[path + "/" + name] = (is_symlink ? "-> " : "") + inode->content;
    }
  }
  return files;
}

uint64_t SimulatedDisk::hash() const {
  uint64_t hash = 0;
  for (const auto& [path, content] : files()) {
    for (const std::string* text : {&path, &content}) {
      hash = hash * 0x9e3779b97f4a7c15u + std::hash<std::string>()(*text);
    }
  }
  return hash;
}

uint64_t SimulatedDisk::used_bytes() const {
  std::lock_guard lock(core_->mutex);
  return core_->used_bytes();
}

}  // namespace tintype
