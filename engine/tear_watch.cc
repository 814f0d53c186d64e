#include "engine/tear_watch.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

namespace tintype {
namespace {

constexpr uint64_t kProbeBytes = 64;
constexpr uint64_t kWindowBytes = 1ull << 20;  // has one probe
constexpr uint32_t kNoProbe = UINT32_MAX;

}  // namespace

TearWatch::TearWatch(std::unique_ptr<MutationWitness> witness) : witness_(std::move(witness)) {}
TearWatch::~TearWatch() = default;

SourcePieces TearWatch::probe(const std::vector<SourceStorage>& storages, uint64_t seed) {
  std::mt19937_64 random(seed);
  first_probes_.assign(storages.size(), kNoProbe);
  for (uint32_t i = 0; i < storages.size(); ++i) {
    if (!storages[i].is_lazy) continue;
    first_probes_[i] = static_cast<uint32_t>(probes_.size());
    for (uint64_t window = 0; window < storages[i].size_bytes; window += kWindowBytes) {
      const uint64_t window_bytes = std::min(kWindowBytes, storages[i].size_bytes - window);
      const uint64_t probe_bytes = std::min(kProbeBytes, window_bytes);
      const uint64_t offset = window + random() % (window_bytes - probe_bytes + 1);
      probes_.push_back({i, static_cast<uint32_t>(probe_bytes), offset});
    }
  }
  return read_into(at_call_, storages);
}

SourcePieces TearWatch::probe_again(const std::vector<SourceStorage>& storages) {
  return read_into(at_end_, storages);
}

SourcePieces TearWatch::read_into(ByteVector& reading,
                                  const std::vector<SourceStorage>& storages) const {
  reading.resize(probes_.size() * kProbeBytes);
  SourcePieces pieces;
  for (size_t i = 0; i < probes_.size(); ++i) {
    const SourceStorage& storage = storages[probes_[i].storage];
    pieces.add(storage.device, {.source = storage.address + probes_[i].offset,
                                .target = reading.data() + i * kProbeBytes,
                                .size_bytes = probes_[i].size_bytes});
  }
  return pieces;
}

ByteView TearWatch::read(const ByteVector& reading, size_t probe) const {
  return ByteView(reading).subspan(probe * kProbeBytes, probes_[probe].size_bytes);
}

void TearWatch::compare_staged(std::span<const Segment> segments, ByteView extent) {
  if (probes_.empty()) return;
  for (const Segment& segment : segments) {
    if (segment.source != Segment::Source::storage || first_probes_[segment.index] == kNoProbe) {
      continue;
    }
    compare_segment(segment, extent.subspan(segment.extent_offset, segment.size_bytes));
  }
}

// A probe may lie across the border of two extents: each compares its part.
void TearWatch::compare_segment(const Segment& segment, ByteView staged) {
  const uint64_t begin = segment.source_offset;
  const uint64_t end = begin + segment.size_bytes;
  size_t i = first_probes_[segment.index] + begin / kWindowBytes;
  for (; i < probes_.size() && probes_[i].storage == segment.index; ++i) {
    const uint64_t from = std::max(begin, probes_[i].offset);
    const uint64_t to = std::min(end, probes_[i].offset + probes_[i].size_bytes);
    if (probes_[i].offset >= end) return;
    if (from >= to) continue;
    const ByteView was = read(at_call_, i).subspan(from - probes_[i].offset, to - from);
    if (std::memcmp(was.data(), staged.data() + (from - begin), was.size()) != 0) {
      note_torn(segment.index);
      return;
    }
  }
}

void TearWatch::compare_readings() {
  for (size_t i = 0; i < probes_.size(); ++i) {
    const ByteView was = read(at_call_, i);
    if (std::memcmp(was.data(), read(at_end_, i).data(), was.size()) != 0) {
      note_torn(probes_[i].storage);
    }
  }
}

void TearWatch::ask_witness() {
  std::call_once(witness_asked_, [this] {
    for (const uint32_t storage : witness_->changed()) note_torn(storage);
  });
}

void TearWatch::note_torn(uint32_t storage) {
  std::lock_guard lock(mutex_);
  torn_.insert(storage);
}

std::vector<uint32_t> TearWatch::torn() const {
  std::lock_guard lock(mutex_);
  return {torn_.begin(), torn_.end()};
}

void TearWatch::tell_front_end() {
  const auto found = torn();
  if (!found.empty()) witness_->see_torn(found);
}

}  // namespace tintype
