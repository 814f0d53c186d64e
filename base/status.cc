#include "base/status.h"

#include <cerrno>
#include <cstring>  // strerrorname_np, strerrordesc_np

#include <fmt/format.h>

namespace tintype {
namespace {

StatusCode code_for_errno(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT: return StatusCode::out_of_space;
    case ENOENT: return StatusCode::not_found;
    case EEXIST: return StatusCode::already_exists;
    case EMFILE:
    case ENFILE:
    case ENOMEM: return StatusCode::resource_exhausted;
    default: return StatusCode::io_error;
  }
}

// What the user can do about it. Every errno that tests inject has a line of its own.
std::string_view remedy_for_errno(int error_number) {
  switch (error_number) {
    case ENOSPC: return "free space on this file system or save elsewhere";
    case EDQUOT: return "the disk quota is used up: delete files or ask for more";
    case ENOENT: return "check the spelling, or create the directory first";
    case EEXIST: return "remove it first, or name another file";
    case EISDIR: return "give a file name, not a directory";
    case ENOTDIR: return "a part of the path is a file, not a directory";
    case EACCES:
    case EPERM: return "check the permissions of the directory and the file";
    case EROFS: return "the file system is mounted read-only: save elsewhere";
    case EMFILE:
    case ENFILE: return "too many open files: raise `ulimit -n` or close some";
    case EFBIG: return "over the file size limit (`ulimit -f`) or the file system's largest file";
    case ENOMEM: return "not enough memory: lower staging_bytes";
    case EIO: return "the device failed: check the kernel log and the disk's health";
    case ESTALE: return "the network file system lost this file: check the server, then save again";
    case ETIMEDOUT: return "the storage did not answer in time: check the server or the device";
    case ELOOP: return "too many symbolic links in the path";
    case ENAMETOOLONG: return "use a shorter file name";
    case EBUSY: return "another process holds it: retry when it is released";
    default: return "see the errno's manual page";
  }
}

}  // namespace

std::string_view to_string(StatusCode code) {
  switch (code) {
    case StatusCode::ok: return "ok";
    case StatusCode::invalid_argument: return "invalid_argument";
    case StatusCode::not_found: return "not_found";
    case StatusCode::already_exists: return "already_exists";
    case StatusCode::out_of_space: return "out_of_space";
    case StatusCode::resource_exhausted: return "resource_exhausted";
    case StatusCode::io_error: return "io_error";
    case StatusCode::corruption: return "corruption";
    case StatusCode::unsupported: return "unsupported";
    case StatusCode::cancelled: return "cancelled";
    case StatusCode::interrupted: return "interrupted";
    case StatusCode::locked: return "locked";
    case StatusCode::busy: return "busy";
    case StatusCode::torn: return "torn";
    case StatusCode::internal: return "internal";
  }
  return "unknown";
}

Status::Status(StatusCode code, std::string message, int error_number)
    : state_(std::make_shared<const State>(State{code, error_number, std::move(message), {}, {}})) {
}

Status Status::invalid_argument(std::string message, std::string remedy) {
  return Status(StatusCode::invalid_argument, std::move(message)).with_remedy(std::move(remedy));
}
Status Status::unsupported(std::string message, std::string remedy) {
  return Status(StatusCode::unsupported, std::move(message)).with_remedy(std::move(remedy));
}
Status Status::corruption(std::string message) {
  return Status(StatusCode::corruption, std::move(message))
      .with_remedy("copy or download it again, or load an older checkpoint");
}
Status Status::internal(std::string message) { return {StatusCode::internal, std::move(message)}; }

std::string Status::to_string() const {
  return fmt::format("{}{}{}", message(), remedy().empty() ? "" : "; ", remedy());
}

template <typename Change>
Status Status::changed(const Change& change) const {
  if (is_ok()) return *this;
  auto state = std::make_shared<State>(*state_);
  change(*state);
  Status status;
  status.state_ = std::move(state);
  return status;
}

Status Status::with_context(std::string_view context) const {
  return changed([&](State& s) { s.message = fmt::format("{}: {}", context, s.message); });
}
Status Status::with_code(StatusCode code) const {
  return changed([&](State& s) { s.code = code; });
}
Status Status::with_path(std::string path) const {
  return changed([&](State& s) { s.path = std::move(path); });
}
Status Status::with_remedy(std::string remedy) const {
  return changed([&](State& s) { s.remedy = std::move(remedy); });
}

Status Status::of_file(std::string_view path, std::string_view operation) const {
  if (this->path() == path) return *this;
  return with_context(fmt::format("{}{}'{}'", operation, operation.empty() ? "" : " ", path))
      .with_path(std::string(path));
}

std::string errno_name(int error_number) {
  const char* name = strerrorname_np(error_number);
  return name != nullptr ? name : fmt::format("errno {}", error_number);
}

Status errno_status(int error_number, std::string_view operation, std::string_view path) {
  return errno_status(error_number, operation, path, remedy_for_errno(error_number));
}

Status errno_status(int error_number, std::string_view operation, std::string_view path,
                    std::string_view remedy) {
  const char* meaning = strerrordesc_np(error_number);  // unlike strerror, thread-safe
  auto message = fmt::format("{} '{}': {} [{}, errno {}]", operation, path,
                             meaning != nullptr ? meaning : "unknown error",
                             errno_name(error_number), error_number);
  return Status(code_for_errno(error_number), std::move(message), error_number)
      .with_path(std::string(path))
      .with_remedy(std::string(remedy));
}

}  // namespace tintype
