#include "io/disk/byte_stream.h"

#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

namespace tintype {
namespace {

constexpr int kAskIntervalMs = 100;
// A pipe takes more than it has room for only while somebody reads, and a write that waits for that
// cannot be stopped; but a page fits whenever poll() says that there is room.
constexpr size_t kSureBytes = 4096;
constexpr size_t kFileWriteBytes = size_t{8} << 20;

bool is_regular_file(int descriptor) {
  struct stat status {};
  return ::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode);
}

// Until the descriptor can be read or written, or has failed: that the next call tells.
Status wait_until_ready(int descriptor, short events, const StopQuestion& is_stopped,
                        const std::string& name) {
  while (true) {
    pollfd one{.fd = descriptor, .events = events, .revents = 0};
    const int ready = ::poll(&one, 1, kAskIntervalMs);
    if (ready > 0) return Status::ok();
    if (ready < 0 && errno != EINTR) return errno_status(errno, "wait for", name);
    if (is_stopped && is_stopped()) return {StatusCode::interrupted, "interrupted at " + name};
  }
}

}  // namespace

DescriptorInput::DescriptorInput(int descriptor, std::string name, StopQuestion is_stopped)
    : descriptor_(descriptor), name_(std::move(name)), is_stopped_(std::move(is_stopped)) {}

Result<size_t> DescriptorInput::read(MutableBytes target) {
  size_t filled = 0;
  while (filled < target.size()) {
    TINTYPE_RETURN_IF_ERROR(wait_until_ready(descriptor_, POLLIN, is_stopped_, name_));
    const ssize_t count = ::read(descriptor_, target.data() + filled, target.size() - filled);
    if (count == 0) break;
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return errno_status(errno, "read", name_);
    filled += static_cast<size_t>(count);
  }
  return filled;
}

DescriptorOutput::DescriptorOutput(int descriptor, std::string name, StopQuestion is_stopped)
    : descriptor_(descriptor),
      name_(std::move(name)),
      is_stopped_(std::move(is_stopped)),
      write_bytes_max_(is_regular_file(descriptor) ? kFileWriteBytes : kSureBytes) {}

Status DescriptorOutput::write(ByteView data) {
  while (!data.empty()) {
    TINTYPE_RETURN_IF_ERROR(wait_until_ready(descriptor_, POLLOUT, is_stopped_, name_));
    const ssize_t count =
        ::write(descriptor_, data.data(), std::min(data.size(), write_bytes_max_));
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0) return errno_status(errno, "write", name_);
    data = data.subspan(static_cast<size_t>(count));
  }
  return Status::ok();
}

}  // namespace tintype
