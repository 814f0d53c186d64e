#include "engine/directory/document.h"

#include <memory>
#include <string>

#include "io/disk/temp_names.h"

namespace tintype {
namespace {

constexpr mode_t kNewFileMode = 0666;  // less the umask

// Locked, so that no cleaner takes the temp for an orphan.
Status fill(File& file, std::string_view text) {
  const Status locked = file.try_lock();
  if (!locked.is_ok() && locked.code() != StatusCode::unsupported) return locked;
  TINTYPE_RETURN_IF_ERROR(write_fully(file, as_bytes(text), 0));
  return file.sync_data();
}

}  // namespace

Status put_document(Directory& directory, std::string_view name, std::string_view text) {
  const std::string temp = temp_name_for(name);
  auto file = directory.create_unnamed(name, kNewFileMode);
  bool has_name = false;
  if (file.status().code() == StatusCode::unsupported) {
    file = directory.create(temp, kNewFileMode);
    has_name = file.is_ok();
  }
  TINTYPE_RETURN_IF_ERROR(file.status());
  Status status = fill(**file, text);
  if (status.is_ok() && !has_name) {
    status = directory.link_unnamed(**file, temp);
    has_name = status.is_ok();
  }
  if (status.is_ok()) status = directory.rename(temp, name);
  if (!status.is_ok() && has_name) static_cast<void>(directory.remove(temp));
  return status.of_file(directory.path() + "/" + std::string(name), "replace");
}

}  // namespace tintype
