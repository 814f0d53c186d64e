#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/page_sizes.h"
#include "tests/support/simulated_core.h"

namespace tintype {
namespace {

int64_t now_ns() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

Status unsupported(std::string_view operation, std::string_view path) {
  return Status::unsupported(std::string(operation) + " '" + std::string(path) +
                             "': this simulated disk cannot");
}

using CorePointer = std::shared_ptr<SimulatedDisk::Core>;

class SimulatedFile final : public File {
 public:
  SimulatedFile(CorePointer core, InodePointer inode, std::string path)
      : core_(std::move(core)), inode_(std::move(inode)), path_(std::move(path)) {}
  ~SimulatedFile() override {
    std::lock_guard lock(core_->mutex);
    if (inode_->lock_holder == this) inode_->lock_holder = nullptr;
  }

  const InodePointer& inode() const { return inode_; }

  Result<size_t> write_at(ByteView data, uint64_t offset) override {
    std::lock_guard lock(core_->mutex);
    if (is_direct_ && (offset | data.size()) % kDirectAlignmentBytes != 0) {
      return errno_status(EINVAL, "write", path_);
    }
    TINTYPE_RETURN_IF_ERROR(grow(offset + data.size()));
    std::memcpy(inode_->content.data() + offset, data.data(), data.size());
    return data.size();
  }
  Result<size_t> read_at(MutableBytes target, uint64_t offset) override {
    std::lock_guard lock(core_->mutex);
    const std::string& content = inode_->content;
    if (offset >= content.size()) return size_t{0};
    const size_t count = std::min<size_t>(target.size(), content.size() - offset);
    std::memcpy(target.data(), content.data() + offset, count);
    return count;
  }
  Status allocate(uint64_t size_bytes) override {
    std::lock_guard lock(core_->mutex);
    return grow(size_bytes);
  }
  Status truncate(uint64_t size_bytes) override {
    std::lock_guard lock(core_->mutex);
    inode_->content.resize(size_bytes);
    return Status::ok();
  }
  Status sync_data() override {
    std::lock_guard lock(core_->mutex);
    if (core_->options.is_sync_data_honest) inode_->durable = inode_->content;
    return Status::ok();
  }
  Result<FileInfo> info() override;
  Status set_mode(mode_t mode) override {
    std::lock_guard lock(core_->mutex);
    inode_->mode = mode;
    return Status::ok();
  }
  Status try_lock() override {
    std::lock_guard lock(core_->mutex);
    if (inode_->lock_holder != nullptr && inode_->lock_holder != this) {
      return Status(StatusCode::locked, "lock '" + path_ + "': another holds it", EWOULDBLOCK);
    }
    inode_->lock_holder = this;
    return Status::ok();
  }
  Status set_direct(bool is_direct) override {
    std::lock_guard lock(core_->mutex);
    if (is_direct && !core_->options.has_direct_io) return unsupported("set O_DIRECT", path_);
    is_direct_ = is_direct;
    return Status::ok();
  }
  Status clone_from(File& source) override {
    std::lock_guard lock(core_->mutex);
    if (!core_->options.has_clones) return unsupported("clone", path_);
    inode_->content = static_cast<SimulatedFile&>(source).inode_->content;
    return Status::ok();
  }
  int descriptor() const override { return -1; }
  const std::string& path() const override { return path_; }

 private:
  Status grow(uint64_t size_bytes) {
    if (size_bytes <= inode_->content.size()) return Status::ok();
    if (core_->options.capacity_bytes == UINT64_MAX) {
      inode_->content.resize(size_bytes);
      return Status::ok();
    }
    const uint64_t more = size_bytes - inode_->content.size();
    if (core_->options.capacity_bytes -
            std::min(core_->used_bytes() + inode_->content.size(), core_->options.capacity_bytes) <
        more) {
      return errno_status(ENOSPC, "write", path_);
    }
    inode_->content.resize(size_bytes);
    return Status::ok();
  }

  const CorePointer core_;
  const InodePointer inode_;
  const std::string path_;
  bool is_direct_ = false;
};

FileInfo info_of(const SimulatedInode& inode, uint64_t device) {
  return {.kind = inode.kind,
          .size_bytes = inode.content.size(),
          .inode = inode.number,
          .device = device,
          .mode = inode.mode,
          .modified_ns = inode.changed_ns,
          .changed_ns = inode.changed_ns};
}

Result<FileInfo> SimulatedFile::info() {
  std::lock_guard lock(core_->mutex);
  return info_of(*inode_, core_->device);
}

class SimulatedDirectory final : public Directory {
 public:
  SimulatedDirectory(CorePointer core, std::shared_ptr<SimulatedFolder> folder, std::string path)
      : core_(std::move(core)), folder_(std::move(folder)), path_(std::move(path)) {}

  Result<std::unique_ptr<File>> create_unnamed(std::string_view wanted_name, mode_t mode) override {
    std::lock_guard lock(core_->mutex);
    if (!core_->options.has_unnamed_files) return unsupported("create unnamed file", path_);
    return wrap(core_->make_inode(mode), wanted_name);
  }
  Result<std::unique_ptr<File>> create(std::string_view name, mode_t mode) override {
    std::lock_guard lock(core_->mutex);
    if (find(name) != nullptr) return errno_status(EEXIST, "create", path_of(name));
    const InodePointer inode = core_->make_inode(mode);
    change({{std::string(name), inode}});
    return wrap(inode, name);
  }
  Result<std::unique_ptr<File>> open(std::string_view name, bool) override {
    std::lock_guard lock(core_->mutex);
    const InodePointer inode = find(name);
    if (inode == nullptr) return errno_status(ENOENT, "open", path_of(name));
    if (inode->kind != FileInfo::Kind::regular) return errno_status(ELOOP, "open", path_of(name));
    return wrap(inode, name);
  }
  Status link_unnamed(File& file, std::string_view name) override {
    return add_name(static_cast<SimulatedFile&>(file).inode(), name);
  }
  Status link(std::string_view existing, std::string_view name) override {
    if (!core_->options.has_hard_links) return unsupported("link", path_of(name));
    const InodePointer inode = find_locked(existing);
    if (inode == nullptr) return errno_status(ENOENT, "link", path_of(existing));
    return add_name(inode, name);
  }
  Status rename(std::string_view from, std::string_view to) override {
    std::lock_guard lock(core_->mutex);
    const InodePointer inode = find(from);
    if (inode == nullptr) return errno_status(ENOENT, "rename", path_of(from));
    if (inode == find(to)) return Status::ok();
    change({{std::string(from), nullptr}, {std::string(to), inode}});
    return Status::ok();
  }
  Status exchange(std::string_view first, std::string_view second) override {
    std::lock_guard lock(core_->mutex);
    if (!core_->options.has_exchange) return unsupported("exchange", path_of(second));
    const InodePointer a = find(first);
    const InodePointer b = find(second);
    if (a == nullptr || b == nullptr) return errno_status(ENOENT, "exchange", path_of(second));
    change({{std::string(first), b}, {std::string(second), a}});
    return Status::ok();
  }
  Status remove(std::string_view name) override {
    std::lock_guard lock(core_->mutex);
    if (find(name) == nullptr) return errno_status(ENOENT, "remove", path_of(name));
    change({{std::string(name), nullptr}});
    return Status::ok();
  }
  Status sync() override {
    std::lock_guard lock(core_->mutex);
    if (!core_->options.is_directory_sync_honest) return Status::ok();
    folder_->durable = folder_->names;
    folder_->unsynced.clear();
    return Status::ok();
  }
  Result<FileInfo> info(std::string_view name) override {
    std::lock_guard lock(core_->mutex);
    if (name == ".") {
      return FileInfo{.kind = FileInfo::Kind::directory,
                      .inode = folder_->number,
                      .device = core_->device,
                      .mode = 0755};
    }
    const InodePointer inode = find(name);
    if (inode == nullptr) return errno_status(ENOENT, "stat", path_of(name));
    return info_of(*inode, core_->device);
  }
  Result<std::string> read_link(std::string_view name) override {
    const InodePointer inode = find_locked(name);
    if (inode == nullptr) return errno_status(ENOENT, "readlink", path_of(name));
    if (inode->kind != FileInfo::Kind::symlink) {
      return errno_status(EINVAL, "readlink", path_of(name));
    }
    return inode->content;
  }
  Result<std::vector<std::string>> list() override {
    std::lock_guard lock(core_->mutex);
    std::vector<std::string> names;
    for (const auto& [name, inode] : folder_->names) names.push_back(name);
    return names;
  }
  Result<uint64_t> available_bytes() override {
    std::lock_guard lock(core_->mutex);
    const uint64_t used = std::min(core_->used_bytes(), core_->options.capacity_bytes);
    return core_->options.capacity_bytes - used;
  }
  const std::string& path() const override { return path_; }

 private:
  std::string path_of(std::string_view name) const { return path_ + "/" + std::string(name); }
  InodePointer find(std::string_view name) const {
    const auto place = folder_->names.find(name);
    return place == folder_->names.end() ? nullptr : place->second;
  }
  InodePointer find_locked(std::string_view name) const {
    std::lock_guard lock(core_->mutex);
    return find(name);
  }
  Status add_name(const InodePointer& inode, std::string_view name) {
    std::lock_guard lock(core_->mutex);
    if (find(name) != nullptr) return errno_status(EEXIST, "link", path_of(name));
    change({{std::string(name), inode}});
    return Status::ok();
  }
  void change(NameChange what) {
    for (const auto& [name, inode] : what) {
      if (inode != nullptr) inode->changed_ns = now_ns();
    }
    apply_change(folder_->names, what);
    folder_->unsynced.push_back(std::move(what));
  }
  Result<std::unique_ptr<File>> wrap(const InodePointer& inode, std::string_view name) {
    return std::unique_ptr<File>(std::make_unique<SimulatedFile>(core_, inode, path_of(name)));
  }

  const CorePointer core_;
  const std::shared_ptr<SimulatedFolder> folder_;
  const std::string path_;
};

}  // namespace

InodePointer SimulatedDisk::Core::make_inode(mode_t mode) {
  auto inode = std::make_shared<SimulatedInode>();
  inode->number = next_number++;
  inode->mode = mode;
  inode->changed_ns = now_ns();
  return inode;
}

uint64_t SimulatedDisk::Core::used_bytes() const {
  std::map<uint64_t, uint64_t> sizes;  // by inode: a hard link costs nothing
  for (const auto& [path, folder] : folders) {
    for (const auto& [name, inode] : folder->names) sizes[inode->number] = inode->content.size();
  }
  uint64_t total = 0;
  for (const auto& [number, size] : sizes) total += size;
  return total;
}

void apply_change(SimulatedNames& names, const NameChange& change) {
  for (const auto& [name, inode] : change) {
    if (inode == nullptr) {
      names.erase(name);
    } else {
      names[name] = inode;
    }
  }
}

std::unique_ptr<Directory> make_simulated_directory(std::shared_ptr<SimulatedDisk::Core> core,
                                                    std::shared_ptr<SimulatedFolder> folder,
                                                    std::string path) {
  return std::make_unique<SimulatedDirectory>(std::move(core), std::move(folder), std::move(path));
}

}  // namespace tintype
