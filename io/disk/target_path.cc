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

Result<SplitPath> split(const std::string& path) {
  const size_t slash = path.rfind('/');  // there is one, see absolute()
  SplitPath parts{path.substr(0, slash == 0 ? 1 : slash), path.substr(slash + 1)};
  if (parts.name.empty() || parts.name == "." || parts.name == "..") {
    return errno_status(EISDIR, "save to", path);
  }
  return parts;
}

// Ok: a regular file or nothing. `link` is set where a symlink stands that is to be followed.
Status examine(Directory& directory, const std::string& name, const std::string& path,
               bool is_symlink_followed, std::string& link) {
  const auto info = directory.info(name);
  if (!info.is_ok()) {
    return info.status().code() == StatusCode::not_found ? Status::ok() : info.status();
  }
  switch (info->kind) {
    case FileInfo::Kind::regular: return Status::ok();
    case FileInfo::Kind::directory: return errno_status(EISDIR, "save to", path);
    case FileInfo::Kind::other:
      return Status::unsupported(
                 fmt::format("'{}' is a device, pipe or socket, which replacing would destroy; "
                             "give the name of a regular file",
                             path))
          .with_path(path);
    case FileInfo::Kind::symlink: break;
  }
  if (!is_symlink_followed) return Status::ok();
  TINTYPE_ASSIGN_OR_RETURN(link, directory.read_link(name));
  return Status::ok();
}

// A later chdir changes nothing.
std::string absolute(const std::string& path) {
  std::array<char, PATH_MAX> here;
  if (path.starts_with('/')) return path;
  if (::getcwd(here.data(), here.size()) == nullptr) return fmt::format("./{}", path);
  return fmt::format("{}/{}", here.data(), path);
}

}  // namespace

Result<TargetPath> resolve_target(FileSystem& file_system, const std::string& path,
                                  bool is_symlink_followed) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    return Status::invalid_argument("the path is empty or has a NUL byte in it");
  }
  std::string current = absolute(path);
  for (int hop = 0; hop < kSymlinksMax; ++hop) {
    TINTYPE_ASSIGN_OR_RETURN(SplitPath parts, split(current));
    TINTYPE_ASSIGN_OR_RETURN(auto directory, file_system.open_directory(parts.parent));
    std::string link;
    TINTYPE_RETURN_IF_ERROR(examine(*directory, parts.name, current, is_symlink_followed, link));
    if (link.empty()) return TargetPath{std::move(directory), std::move(parts.name), current};
    current = link.front() == '/' ? link : fmt::format("{}/{}", parts.parent, link);
  }
  return errno_status(ELOOP, "resolve", path);
}

}  // namespace tintype
