#include "engine/restore/file_source.h"

#include "io/archive/file_faults.h"
#include "io/disk/target_path.h"

namespace tintype {

Result<std::unique_ptr<FileSource>> FileSource::own(std::unique_ptr<File> file) {
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo info, file->info());
  File& opened = *file;
  return std::unique_ptr<FileSource>(new FileSource(std::move(file), opened, info.size_bytes));
}

Result<std::unique_ptr<FileSource>> FileSource::over(File& file) {
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo info, file.info());
  return std::unique_ptr<FileSource>(new FileSource(nullptr, file, info.size_bytes));
}

Result<std::unique_ptr<FileSource>> FileSource::open(FileSystem& file_system,
                                                     const std::string& path) {
  TINTYPE_ASSIGN_OR_RETURN(const TargetPath target, resolve_source(file_system, path));
  TINTYPE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, target.directory->open(target.name, false));
  return own(std::move(file));
}

Status FileSource::read_at(MutableBytes target, uint64_t offset) const {
  TINTYPE_RETURN_IF_ERROR(check_range(*this, offset, target.size()));
  while (!target.empty()) {
    TINTYPE_ASSIGN_OR_RETURN(const size_t count, file_->read_at(target, offset));
    if (count == 0) {
      return damaged_file(name(), "became shorter while it was read: another process writes to it")
          .with_remedy("load it again when that has ended");
    }
    target = target.subspan(count);
    offset += count;
  }
  return Status::ok();
}

}  // namespace tintype
