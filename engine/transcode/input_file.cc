#include "engine/transcode/input_file.h"

#include <utility>

#include <fmt/format.h>

#include "engine/restore/read_ahead.h"
#include "io/disk/target_path.h"

namespace tintype {
namespace {

bool has_same_content(const FileInfo& first, const FileInfo& second) {
  return first.size_bytes == second.size_bytes && first.modified_ns == second.modified_ns;
}

// Whoever sets the time of the last write back still leaves that of the last change.
bool is_untouched(const FileInfo& first, const FileInfo& second) {
  return first.device == second.device && first.inode == second.inode &&
         has_same_content(first, second) && first.changed_ns == second.changed_ns;
}

}  // namespace

Result<std::unique_ptr<InputFile>> InputFile::open(FileSystem& file_system,
                                                   const std::string& path) {
  std::unique_ptr<InputFile> input(new InputFile(file_system, path));
  TINTYPE_ASSIGN_OR_RETURN(const TargetPath place, resolve_source(file_system, path));
  TINTYPE_ASSIGN_OR_RETURN(input->file_, place.directory->open(place.name, false));
  TINTYPE_ASSIGN_OR_RETURN(input->opened_, input->file_->info());
  TINTYPE_ASSIGN_OR_RETURN(input->source_, open_for_one_pass(place, *input->file_));
  return input;
}

Status InputFile::check_unchanged() const {
  TINTYPE_ASSIGN_OR_RETURN(const FileInfo now, file_->info());
  if (has_same_content(now, opened_)) return Status::ok();
  return Status(StatusCode::io_error,
                fmt::format("'{}' changed while it was read: another process writes to it", path_))
      .with_path(path_)
      .with_remedy("try again when that has ended");
}

Status InputFile::remove_name() const {
  TINTYPE_RETURN_IF_ERROR(check_name());
  TINTYPE_ASSIGN_OR_RETURN(const TargetPath place, resolve_target(file_system_, path_, false));
  return place.directory->remove(place.name);
}

// While it is held open no other file can have its inode.
Status InputFile::check_name() const {
  const auto place = resolve_source(file_system_, path_);
  if (place.is_ok()) {
    TINTYPE_ASSIGN_OR_RETURN(const FileInfo now, place->directory->info(place->name));
    if (is_untouched(now, opened_)) return Status::ok();
  } else if (place.status().code() != StatusCode::not_found) {
    return place.status();
  }
  return Status(StatusCode::io_error,
                fmt::format("'{}' was moved, replaced or changed after it was read, and is not "
                            "removed",
                            path_))
      .with_path(path_)
      .with_remedy("the output is whole: see which of the two is to be kept");
}

}  // namespace tintype
