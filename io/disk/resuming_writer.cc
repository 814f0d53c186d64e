#include "io/disk/resuming_writer.h"

#include <algorithm>
#include <cerrno>
#include <iterator>
#include <thread>

#include "base/check.h"
#include "base/page_sizes.h"

namespace tintype {
namespace {

constexpr int kFruitlessTriesMax = 64;
constexpr int kTriesWithoutPause = 8;

}  // namespace

bool ResumingWriter::has_room() const {
  return writes_.size() + failed_at_submit_.size() < queue_.depth();
}

void ResumingWriter::start(const WriteRequest& request, bool is_direct) {
  TINTYPE_CHECK(has_room());
  const auto [place, is_new] =
      writes_.emplace(request.token, Write{.rest = request, .is_direct = is_direct});
  TINTYPE_CHECK(is_new);
  submit(place->second);
}

// A write that could not be submitted is over; the next poll() says so.
void ResumingWriter::submit(const Write& write) {
  Status status = queue_.submit(write.rest);
  if (status.is_ok()) return;
  const uint64_t token = write.rest.token;
  writes_.erase(token);
  failed_at_submit_.push_back({.token = token, .status = std::move(status)});
}

Status ResumingWriter::poll(std::vector<FinishedWrite>& finished,
                            std::chrono::milliseconds timeout) {
  if (!failed_at_submit_.empty()) timeout = std::chrono::milliseconds(0);
  completions_.clear();
  const Status reaped = queue_.reap(completions_, timeout);
  for (const WriteCompletion& completion : completions_) {
    const auto place = writes_.find(completion.token);
    TINTYPE_CHECK(place != writes_.end());
    Status status;
    if (is_over(place->second, completion.result, status)) {
      finished.push_back({.token = completion.token, .status = std::move(status)});
      writes_.erase(place);
    } else {
      submit(place->second);
    }
  }
  if (writes_.empty()) demoted_.clear();
  std::move(failed_at_submit_.begin(), failed_at_submit_.end(), std::back_inserter(finished));
  failed_at_submit_.clear();
  return reaped;
}

bool ResumingWriter::is_over(Write& write, int64_t result, Status& status) {
  if (result > 0) return advance(write, static_cast<uint64_t>(result), status);
  const int error_number = static_cast<int>(-result);
  if (error_number == 0) {
    status = errno_status(EIO, "write (nothing was taken)", write.rest.file->path());
    return true;
  }
  const bool is_refusal = error_number == EINVAL || error_number == EOPNOTSUPP;
  if (is_refusal && write.is_direct) return !demote(write, status);
  if ((error_number == EAGAIN || error_number == EINTR) && may_retry(write)) {
    ++counters_.retried_writes;
    return false;
  }
  status = errno_status(error_number, "write", write.rest.file->path());
  return true;
}

// A short write goes on where it stopped; a direct one at the last aligned place before that.
bool ResumingWriter::advance(Write& write, uint64_t written_bytes, Status& status) {
  if (written_bytes >= write.rest.data.size()) return true;
  ++counters_.short_writes;
  if (write.is_direct) written_bytes -= written_bytes % kDirectAlignmentBytes;
  if (written_bytes == 0) {
    if (may_retry(write)) return false;
    status = errno_status(EIO, "write (no progress)", write.rest.file->path());
    return true;
  }
  write.fruitless_tries = 0;
  write.rest.data = write.rest.data.subspan(written_bytes);
  write.rest.offset += written_bytes;
  return false;
}

bool ResumingWriter::may_retry(Write& write) {
  if (++write.fruitless_tries > kFruitlessTriesMax) return false;
  if (write.fruitless_tries > kTriesWithoutPause) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// The file system took O_DIRECT at open and refuses it now: this range is written again, buffered.
bool ResumingWriter::demote(Write& write, Status& status) {
  status = write.rest.file->set_direct(false);
  if (!status.is_ok()) return false;
  write.is_direct = false;
  const File* file = write.rest.file;
  if (std::find(demoted_.begin(), demoted_.end(), file) == demoted_.end()) {
    demoted_.push_back(file);
    ++counters_.demotions;
  }
  return true;
}

}  // namespace tintype
