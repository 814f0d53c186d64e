#include "engine/restore/read_ahead.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include "base/crc32_combine.h"
#include "base/no_memory.h"
#include "base/page_sizes.h"
#include "base/threads.h"
#include "engine/restore/file_source.h"
#include "engine/slot_pool.h"
#include "io/archive/crc32.h"

namespace tintype {
namespace {

constexpr uint64_t kExtentBytes = uint64_t{2} << 20;
constexpr uint64_t kExtentCount = 24;  // of the window
constexpr uint64_t kKeptExtents = 4;   // behind the foremost reader, for those beside it
constexpr uint32_t kFetchThreads = 8;  // reads in flight
constexpr uint64_t kFileBytesMin = uint64_t{32} << 20;  // below, the set-up costs what it gains

}  // namespace

class ReadAhead::Window {
 public:
  Window(const ByteSource& source, std::unique_ptr<File> direct)
      : source_(source), direct_(std::move(direct)), memory_(kExtentBytes) {}

  ~Window() {
    {
      std::lock_guard lock(mutex_);
      is_ending_ = true;
    }
    has_room_.notify_all();
    threads_.join();
  }

  Status start() {
    TINTYPE_RETURN_IF_ERROR(memory_.grow_to(kExtentCount));
    for (Place& place : places_) place.memory = *memory_.lease(std::chrono::milliseconds(0));
    threads_.fill_up_to(kFetchThreads, "tintype-ahead", [this] { fetch_all(); });
    return Status::ok();
  }

  // Calls `use` with the fetched bytes of [offset, offset + size_bytes), which lie in one extent,
  // once they are there. False where they are outside of the window, or nobody fetches.
  template <typename Use>
  Result<bool> with_bytes(uint64_t offset, uint64_t size_bytes, const Use& use) {
    if (threads_.empty()) return false;
    TINTYPE_ASSIGN_OR_RETURN(Place * place, hold(offset / kExtentBytes));
    if (place == nullptr) return false;
    use(ByteView(place->memory.bytes()).subspan(offset % kExtentBytes, size_bytes));
    release(*place);
    return true;
  }

 private:
  enum class State { empty, fetching, ready };
  struct Place {
    SlotLease memory;
    uint64_t extent = 0;
    State state = State::empty;
    uint32_t holder_count = 0;
    Status status;  // of the fetch
  };

  Place& place_of(uint64_t extent) { return places_[extent % kExtentCount]; }

  Result<Place*> hold(uint64_t extent) {
    std::unique_lock lock(mutex_);
    Place& place = place_of(extent);
    const auto is_here = [&] { return place.extent == extent && place.state == State::ready; };
    if (!is_here() && (extent < first_ || extent >= first_ + kExtentCount)) return nullptr;
    if (extent > first_ + kKeptExtents) {
      first_ = extent - kKeptExtents;
      has_room_.notify_all();
      has_arrived_.notify_all();  // those who wait for what lies before it now
    }
    has_arrived_.wait(lock, [&] { return is_here() || extent < first_; });
    if (!is_here()) return nullptr;
    if (!place.status.is_ok()) return place.status;
    ++place.holder_count;
    return &place;
  }

  void release(Place& place) {
    std::lock_guard lock(mutex_);
    if (--place.holder_count == 0 && place.extent < first_) has_room_.notify_all();
  }

  void fetch_all() {
    const uint64_t extent_count = divide_up(source_.size_bytes(), kExtentBytes);
    std::unique_lock lock(mutex_);
    for (;;) {
      has_room_.wait(lock, [&] { return is_ending_ || next_ == extent_count || can_fetch(); });
      if (is_ending_ || next_ == extent_count) return;
      const uint64_t extent = next_++;
      Place& place = place_of(extent);
      place.extent = extent;
      place.state = State::fetching;
      lock.unlock();
      Status status = fetch_or_refuse(extent, place.memory.bytes());
      lock.lock();
      place.status = std::move(status);
      place.state = State::ready;
      has_arrived_.notify_all();
      if (extent < first_) has_room_.notify_all();  // nobody wants it any more
    }
  }

  bool can_fetch() {
    const Place& place = place_of(next_);
    return next_ < first_ + kExtentCount && place.holder_count == 0 &&
           place.state != State::fetching;
  }

  // A thread that throws would end the program.
  Status fetch_or_refuse(uint64_t extent, MutableBytes target) {
    try {
      return fetch(extent, target);
    } catch (const std::bad_alloc&) {
      return no_memory_;
    }
  }

  // What a direct read does not give, for whatever reason, the plain source gives or explains.
  Status fetch(uint64_t extent, MutableBytes target) {
    const uint64_t offset = extent * kExtentBytes;
    const uint64_t wanted = std::min(kExtentBytes, source_.size_bytes() - offset);
    uint64_t count = 0;
    if (is_direct_) {
      const auto read =
          direct_->read_at(target.first(align_up(wanted, kDirectAlignmentBytes)), offset);
      if (read.is_ok()) {
        count = std::min<uint64_t>(*read, wanted);
      } else {
        is_direct_ = false;
      }
    }
    if (count == wanted) return Status::ok();
    return source_.read_at(target.subspan(count, wanted - count), offset + count);
  }

  const ByteSource& source_;
  const std::unique_ptr<File> direct_;
  SlotPool memory_;
  const Status no_memory_ = no_memory("reading ahead");  // made while there is some
  std::atomic<bool> is_direct_{true};

  std::mutex mutex_;
  std::condition_variable has_room_;        // for the fetchers
  std::condition_variable has_arrived_;     // for the readers
  std::array<Place, kExtentCount> places_;  // guarded by mutex_, but for the bytes
  uint64_t first_ = 0;                      // extent of the window; guarded by mutex_
  uint64_t next_ = 0;                       // extent to fetch; guarded by mutex_
  bool is_ending_ = false;                  // guarded by mutex_
  ThreadGroup threads_;
};

ReadAhead::ReadAhead(std::unique_ptr<ByteSource> source, std::unique_ptr<Window> window)
    : source_(std::move(source)), window_(std::move(window)) {}

ReadAhead::~ReadAhead() = default;

Result<std::unique_ptr<ReadAhead>> ReadAhead::start(std::unique_ptr<ByteSource> source,
                                                    std::unique_ptr<File> direct) {
  auto window = std::make_unique<Window>(*source, std::move(direct));
  TINTYPE_RETURN_IF_ERROR(window->start());
  return std::unique_ptr<ReadAhead>(new ReadAhead(std::move(source), std::move(window)));
}

Status ReadAhead::read_at(MutableBytes target, uint64_t offset) const {
  return read_with_crc(target, offset).status();
}

Result<uint32_t> ReadAhead::read_with_crc(MutableBytes target, uint64_t offset) const {
  TINTYPE_RETURN_IF_ERROR(check_range(*this, offset, target.size()));
  uint32_t crc = 0;
  while (!target.empty()) {
    const uint64_t left_in_extent = kExtentBytes - offset % kExtentBytes;
    const MutableBytes part = target.first(std::min<uint64_t>(target.size(), left_in_extent));
    uint32_t part_crc = 0;
    TINTYPE_ASSIGN_OR_RETURN(const bool is_fetched,
                             window_->with_bytes(offset, part.size(), [&](ByteView bytes) {
                               part_crc = copy_with_crc32(part, bytes);
                             }));
    if (!is_fetched) {
      TINTYPE_ASSIGN_OR_RETURN(part_crc, source_->read_with_crc(part, offset));
    }
    crc = crc32_combine(crc, part_crc, part.size());
    target = target.subspan(part.size());
    offset += part.size();
  }
  return crc;
}

namespace {

// The same file once more, with O_DIRECT; null where that would gain nothing or is not to be had.
std::unique_ptr<File> open_direct(const TargetPath& place, File& file) {
  const auto expected = file.info();
  if (!expected.is_ok() || expected->size_bytes < kFileBytesMin) return nullptr;
  if (file.cached_share(expected->size_bytes) >= 0.5) return nullptr;
  auto direct = place.directory->open(place.name, false);
  if (!direct.is_ok()) return nullptr;
  const auto info = (*direct)->info();
  const bool is_same = info.is_ok() && info->device == expected->device &&
                       info->inode == expected->inode;  // else it was replaced in between
  if (!is_same || !(*direct)->set_direct(true).is_ok()) return nullptr;
  return std::move(*direct);
}

Result<std::unique_ptr<ByteSource>> ahead_of(std::unique_ptr<ByteSource> source,
                                             std::unique_ptr<File> direct) {
  if (direct == nullptr) return source;
  TINTYPE_ASSIGN_OR_RETURN(auto ahead, ReadAhead::start(std::move(source), std::move(direct)));
  return std::unique_ptr<ByteSource>(std::move(ahead));
}

}  // namespace

Result<std::unique_ptr<ByteSource>> open_for_one_pass(FileSystem& file_system,
                                                      const std::string& path) {
  TINTYPE_ASSIGN_OR_RETURN(const TargetPath place, resolve_source(file_system, path));
  TINTYPE_ASSIGN_OR_RETURN(std::unique_ptr<File> file, place.directory->open(place.name, false));
  auto direct = open_direct(place, *file);
  TINTYPE_ASSIGN_OR_RETURN(auto source, FileSource::own(std::move(file)));
  return ahead_of(std::move(source), std::move(direct));
}

Result<std::unique_ptr<ByteSource>> open_for_one_pass(const TargetPath& place, File& file) {
  auto direct = open_direct(place, file);
  TINTYPE_ASSIGN_OR_RETURN(auto source, FileSource::over(file));
  return ahead_of(std::move(source), std::move(direct));
}

}  // namespace tintype
