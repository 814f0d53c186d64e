#include "io/disk/target_path.h"

#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <utility>

#include <fmt/format.h>

namespace tintype {
namespace {

constexpr int kSymlinksMax = 40;  // as the kernel's own limit

struct SplitPath {
  std::string parent;
  std::string name;
};

// What the error texts say, and whether something must stand there.
struct Purpose {
  std::string_view operation;
  std::string_view on_directory;  // remedies
  std::string_view on_device;
  bool is_reading;
};

constexpr Purpose kSaving{
    .operation = "save to",
    .on_directory = "give a file name, not a directory",
    .on_device = "replacing it would destroy it: give the name of a regular file",
    .is_reading = false};
constexpr Purpose kReading{.operation = "read",
                           .on_directory = "name one of the files in it",
                           .on_device = "copy what it holds to a regular file and read that",
                           .is_reading = true};

Result<SplitPath> split(const std::string& path, const Purpose& purpose) {
  const size_t slash = path.rfind('/');  // there is one, see absolute()
  SplitPath parts{path.substr(0, slash == 0 ? 1 : slash), path.substr(slash + 1)};
  if (parts.name.empty() || parts.name == "." || parts.name == "..") {
    return errno_status(EISDIR, purpose.operation, path, purpose.on_directory);
  }
  return parts;
}

Status missing(const std::string& path, const std::string& parent) {
  return errno_status(ENOENT, kReading.operation, path,
                      parent.empty()
                          ? "check the spelling"
                          : fmt::format("there is no directory '{}': check the spelling", parent));
}

Result<std::unique_ptr<Directory>> open_parent(FileSystem& file_system, const SplitPath& parts,
                                               const std::string& path, const Purpose& purpose) {
  auto directory = purpose.is_reading ? file_system.open_to_look_up(parts.parent)
                                      : file_system.open_directory(parts.parent);
  const bool is_missing = directory.status().code() == StatusCode::not_found;
  if (is_missing && purpose.is_reading) return missing(path, parts.parent);
  return directory;
}

// True where a symlink stands; false for a regular file, or for nothing where that may be.
Result<bool> is_symlink(Directory& directory, const std::string& name, const std::string& path,
                        const Purpose& purpose) {
  const auto info = directory.info(name);
  if (!info.is_ok()) {
    if (info.status().code() != StatusCode::not_found) return info.status();
    if (purpose.is_reading) return missing(path, "");
    return false;
  }
  if (info->is_magic_link && info->kind == FileInfo::Kind::regular && !purpose.is_reading) {
    return Status::unsupported(fmt::format("{} '{}': it is a link to a file that a process holds "
                                           "open, whatever its name is now",
                                           purpose.operation, path),
                               "give the name of a regular file")
        .with_path(path);
  }
  switch (info->kind) {
    case FileInfo::Kind::regular: return false;
    case FileInfo::Kind::symlink: return true;
    case FileInfo::Kind::directory:
      return errno_status(EISDIR, purpose.operation, path, purpose.on_directory);
    case FileInfo::Kind::other: break;
  }
  return Status::unsupported(
             fmt::format("{} '{}': it is a device, pipe or socket", purpose.operation, path),
             std::string(purpose.on_device))
      .with_path(path);
}

// A later chdir changes nothing.
std::string absolute(const std::string& path) {
  std::array<char, PATH_MAX> here;
  if (path.starts_with('/')) return path;
  if (::getcwd(here.data(), here.size()) == nullptr) return fmt::format("./{}", path);
  return fmt::format("{}/{}", here.data(), path);
}

Result<TargetPath> resolve(FileSystem& file_system, const std::string& path, const Purpose& purpose,
                           bool is_symlink_followed) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return Status::invalid_argument(
        fmt::format("{}: the path is empty or has a NUL byte in it", purpose.operation),
        "give the name of a file");
  }
  std::string current = absolute(path);
  for (int hop = 0; hop < kSymlinksMax; ++hop) {
    TINTYPE_ASSIGN_OR_RETURN(SplitPath parts, split(current, purpose));
    TINTYPE_ASSIGN_OR_RETURN(auto directory, open_parent(file_system, parts, current, purpose));
    TINTYPE_ASSIGN_OR_RETURN(const bool is_link,
                             is_symlink(*directory, parts.name, current, purpose));
    if (!is_link || !is_symlink_followed) {
      return TargetPath{std::move(directory), std::move(parts.name), current};
    }
    TINTYPE_ASSIGN_OR_RETURN(const std::string link, directory->read_link(parts.name));
    current = link.front() == '/' ? link : fmt::format("{}/{}", parts.parent, link);
  }
  return errno_status(ELOOP, purpose.operation, path);
}

}  // namespace

Result<TargetPath> resolve_target(FileSystem& file_system, const std::string& path,
                                  bool is_symlink_followed) {
  return resolve(file_system, path, kSaving, is_symlink_followed);
}

Result<TargetPath> resolve_source(FileSystem& file_system, const std::string& path) {
  return resolve(file_system, path, kReading, true);
}

}  // namespace tintype
