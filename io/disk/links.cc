#include "io/disk/links.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/bytes.h"
#include "io/disk/temp_names.h"

namespace tintype {
namespace {

constexpr uint64_t kCopyBytes = uint64_t{1} << 20;
constexpr int kTriesMax = 4;
constexpr mode_t kNewFileMode = 0666;  // less the umask

Status copy_content(File& source, File& target) {
  ByteVector buffer(kCopyBytes);
  for (uint64_t offset = 0;;) {
    TINTYPE_ASSIGN_OR_RETURN(const size_t count, source.read_at(buffer, offset));
    if (count == 0) return Status::ok();
    TINTYPE_RETURN_IF_ERROR(write_fully(target, ByteView(buffer).first(count), offset));
    offset += count;
  }
}

class LinkMover {
 public:
  LinkMover(Directory& directory, std::string_view existing, std::string_view link_name)
      : directory_(directory), existing_(existing), link_name_(link_name) {}

  Status run() {
    TINTYPE_ASSIGN_OR_RETURN(const FileInfo source, directory_.info(existing_));
    const auto standing = directory_.info(link_name_);
    if (standing.is_ok() && standing->inode == source.inode) return Status::ok();
    if (!standing.is_ok() && standing.status().code() != StatusCode::not_found) {
      return standing.status();
    }
    mode_ = source.mode;
    const Status cloned = replace_with_new_file(&LinkMover::clone_content);
    if (cloned.code() != StatusCode::unsupported) return cloned;
    const Status linked = replace_with_hard_link();
    if (linked.code() != StatusCode::unsupported) return linked;
    return replace_with_new_file(&LinkMover::copy_content_from);
  }

 private:
  Status clone_content(File& source, File& target) { return target.clone_from(source); }
  Status copy_content_from(File& source, File& target) { return copy_content(source, target); }

  // A cleaner elsewhere may take the unlocked link for an orphan: then it is made again.
  Status replace_with_hard_link() {
    Status status;
    for (int i = 0; i < kTriesMax; ++i) {
      const std::string temp = temp_name_for(link_name_);
      TINTYPE_RETURN_IF_ERROR(directory_.link(existing_, temp));
      status = directory_.rename(temp, link_name_);
      if (status.is_ok()) return status;
      static_cast<void>(directory_.remove(temp));
      if (status.code() != StatusCode::not_found) return status;
    }
    return status;
  }

  Status replace_with_new_file(Status (LinkMover::*fill)(File&, File&)) {
    TINTYPE_ASSIGN_OR_RETURN(const auto source, directory_.open(existing_, false));
    const std::string temp = temp_name_for(link_name_);
    bool has_name = false;
    auto target = directory_.create_unnamed(link_name_, kNewFileMode);
    if (target.status().code() == StatusCode::unsupported) {
      target = directory_.create(temp, kNewFileMode);
      has_name = target.is_ok();
    }
    if (!target.is_ok()) return target.status();
    Status status = prepare(fill, *source, **target);
    if (status.is_ok() && !has_name) {
      status = directory_.link_unnamed(**target, temp);
      has_name = status.is_ok();
    }
    if (status.is_ok()) status = directory_.rename(temp, link_name_);
    if (!status.is_ok() && has_name) static_cast<void>(directory_.remove(temp));
    return status;
  }

  Status prepare(Status (LinkMover::*fill)(File&, File&), File& source, File& target) {
    const Status locked = target.try_lock();
    if (!locked.is_ok() && locked.code() != StatusCode::unsupported) return locked;
    TINTYPE_RETURN_IF_ERROR((this->*fill)(source, target));
    const Status moded = target.set_mode(mode_);
    if (!moded.is_ok() && moded.code() != StatusCode::unsupported) return moded;
    return target.sync_data();
  }

  Directory& directory_;
  const std::string existing_, link_name_;
  mode_t mode_ = 0;
};

}  // namespace

Status move_link(Directory& directory, std::string_view existing, std::string_view link_name) {
  return LinkMover(directory, existing, link_name)
      .run()
      .with_context("make " + std::string(link_name) + " the same file as " +
                    std::string(existing));
}

Result<std::unique_ptr<File>> evict_file(Directory& directory, std::string_view name) {
  auto file = directory.open(name, false);
  TINTYPE_RETURN_IF_ERROR(directory.remove(name));
  if (!file.is_ok()) return std::unique_ptr<File>();
  return file;
}

}  // namespace tintype
