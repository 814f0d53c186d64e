#include "engine/restore/extent_cache.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/check.h"
#include "engine/restore/huge_pages.h"

namespace tintype {

ExtentCache::ExtentCache(DecoderPool& decoders, const FrameIndex& index, uint32_t place_count,
                         uint32_t ahead_count)
    : decoders_(decoders),
      index_(index),
      ahead_count_(ahead_count),
      places_(std::min<size_t>(place_count, index.extents.size())),
      is_expected_(index.extents.size(), true) {}

ExtentCache::~ExtentCache() {
  {
    std::lock_guard lock(mutex_);
    is_ending_ = true;
  }
  has_changed_.notify_all();
  threads_.join();
}

void ExtentCache::expect_only(std::vector<bool> is_expected) {
  std::lock_guard lock(mutex_);
  is_expected_ = std::move(is_expected);
}

bool ExtentCache::has(size_t extent) const {
  std::lock_guard lock(mutex_);
  return std::any_of(places_.begin(), places_.end(), [&](const Place& place) {
    return place.state != State::empty && place.extent == extent;
  });
}

Result<const ExtentCache::Place*> ExtentCache::hold(size_t extent) {
  std::unique_lock lock(mutex_);
  follow(extent);
  Place* place = nullptr;
  for (;;) {
    place = find(extent);
    if (place != nullptr && place->state == State::ready) break;
    if (place == nullptr) {
      Place* const replaced = find_replaceable(true);
      if (replaced != nullptr) {
        decode_into(*replaced, extent, lock);
        continue;
      }
    }
    has_changed_.wait(lock);
  }
  place->last_use = ++use_count_;
  if (!place->status.is_ok()) return place->status;
  ++place->holder_count;
  return place;
}

void ExtentCache::release(const Place& place) {
  std::lock_guard lock(mutex_);
  Place& held = places_[static_cast<size_t>(&place - places_.data())];
  if (--held.holder_count == 0) has_changed_.notify_all();
}

ExtentCache::Place* ExtentCache::find(size_t extent) {
  const auto found = std::find_if(places_.begin(), places_.end(), [&](const Place& place) {
    return place.state != State::empty && place.extent == extent;
  });
  return found == places_.end() ? nullptr : &*found;
}

bool ExtentCache::is_in_window(size_t extent) const {
  return extent + 1 >= reader_ && extent < window_end_;
}

// The place that was used longest ago outside of the window; for a reader, who must get one, also
// within. Null where all of them are in use.
ExtentCache::Place* ExtentCache::find_replaceable(bool is_for_reader) {
  Place* best = nullptr;
  const auto is_better = [&](const Place& place) {
    if (best == nullptr) return true;
    const bool is_wanted = is_in_window(place.extent);
    if (is_wanted != is_in_window(best->extent)) return !is_wanted;
    return place.last_use < best->last_use;
  };
  for (Place& place : places_) {
    if (place.state == State::empty) return &place;
    if (place.state == State::decoding || place.holder_count != 0) continue;
    if (!is_for_reader && is_in_window(place.extent)) continue;
    if (is_better(place)) best = &place;
  }
  return best;
}

Status ExtentCache::decode(size_t extent, ByteVector& memory) {
  try {
    if (memory.empty()) resize_in_huge_pages(memory, index_.largest_plain_bytes());
    const MutableBytes all(memory);
    return decoders_.decode(extent, all.first(index_.extents[extent].plain_bytes));
  } catch (const std::bad_alloc&) {
    return no_memory_;
  }
}

// Gives up the lock meanwhile.
void ExtentCache::decode_into(Place& place, size_t extent, std::unique_lock<std::mutex>& lock) {
  place.extent = extent;
  place.state = State::decoding;
  lock.unlock();
  Status status = decode(extent, place.memory);
  lock.lock();
  place.status = std::move(status);
  place.state = State::ready;
  place.last_use = ++use_count_;
  has_changed_.notify_all();
}

// Moves the window where a reader goes on to the next extent, and closes it where one jumps.
void ExtentCache::follow(size_t extent) {
  if (extent == reader_) return;
  const bool goes_on = extent == reader_ + 1;
  if (!goes_on && !is_in_window(extent)) window_end_ = extent;
  reader_ = extent;
  if (!goes_on || ahead_count_ == 0) return;
  window_end_ = std::min(extent + 1 + ahead_count_, index_.extents.size());
  threads_.fill_up_to(ahead_count_, "tintype-decode", [this] { decode_ahead(); });
  has_changed_.notify_all();
}

// The first expected extent of the window that nobody decodes or has decoded; none where it lies
// behind.
size_t ExtentCache::next_ahead() {
  size_t extent = reader_ + 1;
  while (extent < window_end_ && (!is_expected_[extent] || find(extent) != nullptr)) ++extent;
  return extent;
}

void ExtentCache::decode_ahead() {
  std::unique_lock lock(mutex_);
  while (!is_ending_) {
    const size_t extent = next_ahead();
    Place* const place = extent < window_end_ ? find_replaceable(false) : nullptr;
    if (place != nullptr) {
      decode_into(*place, extent, lock);
    } else {
      has_changed_.wait(lock);
    }
  }
}

}  // namespace tintype
