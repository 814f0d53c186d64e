#include "engine/device/source_copies.h"

#include <algorithm>
#include <utility>

#include "base/bytes.h"
#include "engine/device/host_device.h"

namespace tintype {
namespace {

constexpr uint64_t kSlabAlignmentBytes = 256;  // what device memory is aligned to

uint64_t bytes_on_device(const std::vector<SourceStorage>& storages, uint32_t device) {
  uint64_t total = 0;
  for (const SourceStorage& storage : storages) {
    if (storage.device == device) total += align_up(storage.size_bytes, kSlabAlignmentBytes);
  }
  return total;
}

// Gives each storage of the device its place in the slab; the copies to get there.
std::vector<CopyPiece> move_to_slab(std::vector<SourceStorage>& storages, uint32_t device,
                                    std::byte* slab) {
  std::vector<CopyPiece> pieces;
  for (SourceStorage& storage : storages) {
    if (storage.device != device) continue;
    pieces.push_back({.source = storage.address, .target = slab, .size_bytes = storage.size_bytes});
    storage.address = slab;
    slab += align_up(storage.size_bytes, kSlabAlignmentBytes);
  }
  return pieces;
}

}  // namespace

void SourcePieces::add(uint32_t device, const CopyPiece& piece) {
  if (device == kHostMemory) {
    host.push_back(piece);
    return;
  }
  if (devices.size() <= device) devices.resize(device + 1);
  devices[device].push_back(piece);
}

void SourcePieces::clear() {
  host.clear();
  for (auto& pieces : devices) pieces.clear();
}

void CopiesInFlight::add(EventPointer event) {
  if (event != nullptr) events_.push_back(std::move(event));
}

bool CopiesInFlight::is_done() const {
  return std::all_of(events_.begin(), events_.end(), [](const auto& e) { return e->is_done(); });
}

Status CopiesInFlight::wait() const {
  Status first;
  for (const EventPointer& event : events_) {
    Status status = event->wait();
    if (first.is_ok()) first = std::move(status);
  }
  return first;
}

SourceCopies::SourceCopies(std::span<const SourceDevice> devices) {
  for (const SourceDevice& device : devices) {
    places_.push_back({.source = device, .start = nullptr, .last = nullptr});
  }
}

Status SourceCopies::record_start() {
  for (Place& place : places_) {
    TINTYPE_ASSIGN_OR_RETURN(place.start, place.source.device->record(place.source.stream));
  }
  return Status::ok();
}

Status SourceCopies::gather(std::vector<SourceStorage>& storages) {
  for (uint32_t i = 0; i < places_.size(); ++i) {
    Place& place = places_[i];
    const MutableBytes slab = place.source.slab;
    if (slab.empty() || bytes_on_device(storages, i) > slab.size()) continue;
    place.is_gathered = true;
    const auto pieces = move_to_slab(storages, i, slab.data());
    TINTYPE_RETURN_IF_ERROR(place.source.device->gather(pieces, place.source.stream));
    TINTYPE_ASSIGN_OR_RETURN(place.start, place.source.device->record(place.source.stream));
  }
  return Status::ok();
}

bool SourceCopies::is_gathered(const SourceStorage& storage) const {
  return storage.device != kHostMemory && places_[storage.device].is_gathered;
}

Status SourceCopies::copy(const SourcePieces& pieces, CopiesInFlight& in_flight) {
  for (size_t i = 0; i < pieces.devices.size(); ++i) {
    if (pieces.devices[i].empty()) continue;
    Place& place = places_[i];
    std::lock_guard lock(mutex_);
    auto event = place.source.device->copy(pieces.devices[i], place.start);
    if (!event.is_ok()) {
      return event.status().with_context("copy from " + place.source.device->name());
    }
    place.last = *event;
    in_flight.add(std::move(event).value());
  }
  return host_device().copy(pieces.host, nullptr).status();
}

Status SourceCopies::release_streams() {
  for (const Place& place : places_) {
    TINTYPE_RETURN_IF_ERROR(release_stream(*place.source.device, place.source.stream));
  }
  return Status::ok();
}

Status SourceCopies::release_stream(Device& device, StreamHandle stream) {
  std::lock_guard lock(mutex_);
  for (const Place& place : places_) {
    if (place.source.device != &device || place.is_gathered || place.last == nullptr) continue;
    TINTYPE_RETURN_IF_ERROR(device.make_wait(stream, place.last));
  }
  return Status::ok();
}

}  // namespace tintype
