#include "tests/support/fault_file_system.h"

#include <utility>

namespace tintype {
namespace {

class FaultFile final : public File {
 public:
  FaultFile(std::unique_ptr<File> inner, FaultInjector& injector)
      : inner_(std::move(inner)), injector_(injector) {}

  File& inner() { return *inner_; }

  Result<size_t> write_at(ByteView data, uint64_t offset) override {
    const int error_number = injector_.fire("write_at", inner_->path());
    if (error_number == FaultInjector::kShortWrite) {
      return inner_->write_at(data.first((data.size() + 1) / 2), offset);
    }
    if (error_number != 0) return errno_status(error_number, "write_at", inner_->path());
    return inner_->write_at(data, offset);
  }
  Result<size_t> read_at(MutableBytes target, uint64_t offset) override {
    TINTYPE_RETURN_IF_ERROR(check("read_at"));
    return inner_->read_at(target, offset);
  }
  Status allocate(uint64_t size_bytes) override {
    TINTYPE_RETURN_IF_ERROR(check("allocate"));
    return inner_->allocate(size_bytes);
  }
  Status truncate(uint64_t size_bytes) override {
    TINTYPE_RETURN_IF_ERROR(check("truncate"));
    return inner_->truncate(size_bytes);
  }
  Status sync_data() override {
    TINTYPE_RETURN_IF_ERROR(check("sync_data"));
    return inner_->sync_data();
  }
  Result<FileInfo> info() override {
    TINTYPE_RETURN_IF_ERROR(check("file_info"));
    return inner_->info();
  }
  Status set_mode(mode_t mode) override {
    TINTYPE_RETURN_IF_ERROR(check("set_mode"));
    return inner_->set_mode(mode);
  }
  Status try_lock() override {
    TINTYPE_RETURN_IF_ERROR(check("try_lock"));
    return inner_->try_lock();
  }
  Status set_direct(bool is_direct) override {
    TINTYPE_RETURN_IF_ERROR(check("set_direct"));
    return inner_->set_direct(is_direct);
  }
  double cached_share(uint64_t size_bytes) override {
    return injector_.cached_share().value_or(inner_->cached_share(size_bytes));
  }
  Status clone_from(File& source) override {
    TINTYPE_RETURN_IF_ERROR(check("clone_from"));
    return inner_->clone_from(static_cast<FaultFile&>(source).inner());
  }
  int descriptor() const override { return inner_->descriptor(); }
  const std::string& path() const override { return inner_->path(); }

 private:
  Status check(std::string_view name) { return injector_.check(name, inner_->path()); }

  const std::unique_ptr<File> inner_;
  FaultInjector& injector_;
};

class FaultDirectory final : public Directory {
 public:
  FaultDirectory(std::unique_ptr<Directory> inner, FaultInjector& injector)
      : inner_(std::move(inner)), injector_(injector) {}

  Result<std::unique_ptr<File>> create_unnamed(std::string_view wanted_name, mode_t mode) override {
    TINTYPE_RETURN_IF_ERROR(injector_.check("create_unnamed", inner_->path()));
    return wrap(inner_->create_unnamed(wanted_name, mode));
  }
  Result<std::unique_ptr<File>> create(std::string_view name, mode_t mode) override {
    TINTYPE_RETURN_IF_ERROR(check("create", name));
    return wrap(inner_->create(name, mode));
  }
  Result<std::unique_ptr<File>> open(std::string_view name, bool is_writable) override {
    TINTYPE_RETURN_IF_ERROR(check("open", name));
    return wrap(inner_->open(name, is_writable));
  }
  Status link_unnamed(File& file, std::string_view name) override {
    TINTYPE_RETURN_IF_ERROR(check("link_unnamed", name));
    return inner_->link_unnamed(static_cast<FaultFile&>(file).inner(), name);
  }
  Status link(std::string_view existing, std::string_view name) override {
    TINTYPE_RETURN_IF_ERROR(check("link", name));
    return inner_->link(existing, name);
  }
  Status rename(std::string_view from, std::string_view to) override {
    TINTYPE_RETURN_IF_ERROR(check("rename", to));
    return inner_->rename(from, to);
  }
  Status exchange(std::string_view first, std::string_view second) override {
    TINTYPE_RETURN_IF_ERROR(check("exchange", second));
    return inner_->exchange(first, second);
  }
  Status remove(std::string_view name) override {
    TINTYPE_RETURN_IF_ERROR(check("remove", name));
    return inner_->remove(name);
  }
  Status sync() override {
    TINTYPE_RETURN_IF_ERROR(injector_.check("sync", inner_->path()));
    return inner_->sync();
  }
  Result<FileInfo> info(std::string_view name) override {
    TINTYPE_RETURN_IF_ERROR(check("info", name));
    return inner_->info(name);
  }
  Result<std::string> read_link(std::string_view name) override {
    TINTYPE_RETURN_IF_ERROR(check("read_link", name));
    return inner_->read_link(name);
  }
  Result<std::vector<std::string>> list() override {
    TINTYPE_RETURN_IF_ERROR(injector_.check("list", inner_->path()));
    return inner_->list();
  }
  Result<uint64_t> available_bytes() override {
    TINTYPE_RETURN_IF_ERROR(injector_.check("available_bytes", inner_->path()));
    return inner_->available_bytes();
  }
  const std::string& path() const override { return inner_->path(); }

 private:
  Status check(std::string_view operation, std::string_view name) {
    return injector_.check(operation, inner_->path() + "/" + std::string(name));
  }
  Result<std::unique_ptr<File>> wrap(Result<std::unique_ptr<File>> file) {
    if (!file.is_ok()) return file;
    return std::unique_ptr<File>(std::make_unique<FaultFile>(std::move(file).value(), injector_));
  }

  const std::unique_ptr<Directory> inner_;
  FaultInjector& injector_;
};

}  // namespace

Result<std::unique_ptr<Directory>> FaultFileSystem::open_directory(const std::string& path) {
  TINTYPE_RETURN_IF_ERROR(injector_.check("open_directory", path));
  TINTYPE_ASSIGN_OR_RETURN(auto inner, inner_.open_directory(path));
  return std::unique_ptr<Directory>(std::make_unique<FaultDirectory>(std::move(inner), injector_));
}

Status FaultFileSystem::create_directories(const std::string& path) {
  TINTYPE_RETURN_IF_ERROR(injector_.check("create_directories", path));
  return inner_.create_directories(path);
}

}  // namespace tintype
