#include "engine/restore/compressed_source.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/crc32_combine.h"
#include "io/archive/crc32.h"

namespace tintype {
namespace {

constexpr uint32_t kAheadMax = 8;
constexpr uint32_t kReaderPlaces = 3;  // beside those for what is decoded ahead
constexpr uint32_t kDecodersMax = 32;
// Of decoded extents; encoded ones may have as much: two of the largest.
constexpr uint64_t kHalfBytes = uint64_t{132} << 20;

uint32_t how_many(uint64_t bytes_each, uint32_t wanted) {
  const uint64_t fitting = kHalfBytes / std::max<uint64_t>(1, bytes_each);
  return static_cast<uint32_t>(std::clamp<uint64_t>(fitting, 1, wanted));
}

SourceMemory memory_for(const ByteSource& file, const FrameIndex& index) {
  const uint32_t processors = std::max(1u, std::thread::hardware_concurrency());
  SourceMemory memory =
      share_memory(index.largest_plain_bytes(), index.largest_encoded_bytes(), processors);
  if (file.is_serial()) memory.ahead_count = 0;
  return memory;
}

}  // namespace

// The extents before the reader and at it keep their places, so only others can be decoded ahead
// to.
SourceMemory share_memory(uint64_t plain_bytes, uint64_t encoded_bytes, uint32_t processors) {
  const uint32_t ahead_wanted = std::min(processors, kAheadMax);
  SourceMemory memory;
  memory.decoder_count = how_many(encoded_bytes, kDecodersMax);
  memory.place_count = how_many(plain_bytes, ahead_wanted + kReaderPlaces);
  memory.ahead_count =
      std::min(ahead_wanted, memory.place_count - std::min(memory.place_count, 2u));
  return memory;
}

CompressedSource::CompressedSource(std::unique_ptr<ByteSource> file, FrameIndex index,
                                   const SourceMemory& memory)
    : process_(::getpid()),
      file_(std::move(file)),
      index_(std::move(index)),
      decoding_(std::make_unique<Decoding>(*file_, index_, memory)) {}

CompressedSource::~CompressedSource() {
  if (::getpid() != process_) static_cast<void>(decoding_.release());
}

Result<std::unique_ptr<CompressedSource>> CompressedSource::open(std::unique_ptr<ByteSource> file,
                                                                 FileForm form,
                                                                 const ReadLimits& limits) {
  TINTYPE_ASSIGN_OR_RETURN(FrameIndex index, read_frame_index(*file, form, limits));
  const SourceMemory memory = memory_for(*file, index);
  return std::unique_ptr<CompressedSource>(
      new CompressedSource(std::move(file), std::move(index), memory));
}

// Whole extents are decoded to where they are wanted and said to `decoded`; of others, `copy` takes
// a part from the cache.
template <typename Decoded, typename Copy>
Status CompressedSource::read_parts(MutableBytes target, uint64_t offset, const Decoded& decoded,
                                    const Copy& copy) const {
  if (::getpid() != process_) {
    return Status::invalid_argument(
        fmt::format("'{}' was opened by the parent process: a forked child opens it anew", name()));
  }
  TINTYPE_RETURN_IF_ERROR(check_range(*this, offset, target.size()));
  while (!target.empty()) {
    const size_t i = index_.extent_at(offset);
    const IndexedExtent& extent = index_.extents[i];
    const uint64_t skipped = offset - extent.plain_offset;
    const MutableBytes part =
        target.first(std::min<uint64_t>(target.size(), extent.plain_bytes - skipped));
    if (part.size() == extent.plain_bytes && !decoding_->cache.has(i)) {
      TINTYPE_RETURN_IF_ERROR(decoding_->decoders.decode(i, part));
      decoded(part, extent);
    } else {
      TINTYPE_RETURN_IF_ERROR(decoding_->cache.with_extent(
          i, [&](ByteView plain) { copy(part, plain.subspan(skipped, part.size())); }));
    }
    target = target.subspan(part.size());
    offset += part.size();
  }
  return Status::ok();
}

Status CompressedSource::read_at(MutableBytes target, uint64_t offset) const {
  return read_parts(
      target, offset, [](MutableBytes, const IndexedExtent&) {},
      [](MutableBytes part, ByteView plain) {
        std::memcpy(part.data(), plain.data(), part.size());
      });
}

// A whole extent's CRC is the one that its decoder has compared.
Result<uint32_t> CompressedSource::read_with_crc(MutableBytes target, uint64_t offset) const {
  uint32_t crc = 0;
  TINTYPE_RETURN_IF_ERROR(read_parts(
      target, offset,
      [&](MutableBytes part, const IndexedExtent& extent) {
        const bool is_known = index_.form == FileForm::planes;
        crc = crc32_combine(crc, is_known ? extent.checksum : crc32(0, part), part.size());
      },
      [&](MutableBytes part, ByteView plain) {
        crc = crc32_combine(crc, copy_with_crc32(part, plain), part.size());
      }));
  return crc;
}

uint64_t CompressedSource::block_end(uint64_t offset) const {
  if (offset >= index_.plain_bytes) return 0;
  const IndexedExtent& extent = index_.extents[index_.extent_at(offset)];
  return extent.plain_offset + extent.plain_bytes;
}

void CompressedSource::expect_only(const std::vector<ByteRange>& ranges) const {
  std::vector<bool> is_expected(index_.extents.size());
  for (const ByteRange& range : ranges) {
    for (uint64_t at = range.begin; at < std::min(range.end, index_.plain_bytes);) {
      is_expected[index_.extent_at(at)] = true;
      at = block_end(at);
    }
  }
  decoding_->cache.expect_only(std::move(is_expected));
}

size_t CompressedSource::decoded_count() const {
  size_t count = 0;
  for (size_t i = 0; i < index_.extents.size(); ++i)
    count += decoding_->decoders.is_sound(i) ? 1 : 0;
  return count;
}

Result<std::vector<DamagedExtent>> CompressedSource::find_damaged_extents(
    const ReadOptions& options) const {
  std::vector<size_t> left;
  for (size_t i = 0; i < index_.extents.size(); ++i) {
    if (!decoding_->decoders.is_sound(i)) left.push_back(i);
  }
  std::vector<Status> statuses(left.size());
  const uint64_t plain_bytes = index_.largest_plain_bytes();
  const uint32_t thread_count =
      how_many(plain_bytes, threads_that_pay(*file_, left.size() * plain_bytes, options));
  std::vector<ByteVector> memory(thread_count);
  TINTYPE_RETURN_IF_ERROR(
      for_each_piece(left.size(), thread_count, options, [&](size_t piece, uint32_t thread) {
        memory[thread].resize(plain_bytes);
        const MutableBytes plain = memory[thread];
        statuses[piece] = decoding_->decoders.decode(
            left[piece], plain.first(index_.extents[left[piece]].plain_bytes));
      }));
  std::vector<DamagedExtent> damaged;
  for (size_t i = 0; i < left.size(); ++i) {
    if (statuses[i].is_ok()) continue;
    if (statuses[i].code() != StatusCode::corruption) return statuses[i];
    damaged.push_back({index_.extents[left[i]], left[i], statuses[i]});
  }
  return damaged;
}

}  // namespace tintype
