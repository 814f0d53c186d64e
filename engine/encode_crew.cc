#include "engine/encode_crew.h"

#include <algorithm>
#include <map>
#include <new>
#include <utility>

#include <fmt/format.h>

#include "base/no_memory.h"
#include "base/page_sizes.h"
#include "engine/copy_crew.h"
#include "io/archive/compressed_form.h"

namespace tintype {

Result<uint64_t> encodable_extent_bytes(uint64_t slot_bytes) {
  uint64_t extent_bytes = std::min(slot_bytes, kPlainExtentBytesMax);
  while (extent_bytes > 0 && encoded_bound_bytes(extent_bytes) > slot_bytes) {
    extent_bytes -= kDirectAlignmentBytes;
  }
  if (extent_bytes == 0) {
    return Status::unsupported(
        fmt::format("extents of {} KiB are too small for a compressed form", slot_bytes >> 10),
        "raise extent_bytes, or staging_bytes, which bounds it");
  }
  return extent_bytes;
}

// What one thread holds.
struct EncodeCrew::Coder {
  SlotLease spare;
  std::map<FileForm, std::unique_ptr<ExtentEncoder>> encoders;

  Result<ExtentEncoder*> encoder_for(FileForm form) {
    auto& encoder = encoders[form];
    if (encoder != nullptr) return encoder.get();
    try {
      TINTYPE_ASSIGN_OR_RETURN(encoder, ExtentEncoder::create({.form = form}));
    } catch (const std::bad_alloc&) {  // would end the program
      return no_memory("encoding");
    }
    return encoder.get();
  }
};

EncodeCrew::EncodeCrew(Writer& writer, SlotPool& pool, unsigned thread_count, uint64_t queue_depth)
    : writer_(writer), pool_(pool), thread_count_(thread_count), queue_depth_(queue_depth) {}

EncodeCrew::~EncodeCrew() {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
  }
  changed_.notify_all();
  threads_.join();
}

Status EncodeCrew::reserve(const std::function<bool()>& is_ended) {
  if (!threads_.empty()) return Status::ok();
  const uint64_t count = std::min<uint64_t>(thread_count_, pool_.slot_count() / 2);
  if (count == 0) {
    return {StatusCode::resource_exhausted,
            "a compressed form needs staging memory for two extents: raise staging_bytes"};
  }
  std::vector<SlotLease> spares;  // given back where they find no thread
  while (spares.size() < count) {
    if (is_ended()) return {StatusCode::cancelled, "ended before there was room to encode"};
    if (auto slot = pool_.lease(kInterruptPeriod)) spares.push_back(std::move(*slot));
  }
  Status status;
  for (size_t i = 0; i < spares.size() && status.is_ok(); ++i) {
    status = threads_.start(
        "tintype-encode",
        [this, own = std::make_shared<SlotLease>(std::move(spares[i]))] { run(std::move(*own)); });
  }
  started_count_ = static_cast<unsigned>(threads_.size());
  return threads_.empty() ? status : Status::ok();  // fewer threads do the same work
}

void EncodeCrew::enqueue(SealedExtent extent) {
  extent.job->core->add_work(1);
  {
    std::lock_guard lock(mutex_);
    incoming_.push_back(std::move(extent));
  }
  changed_.notify_one();
}

void EncodeCrew::run(SlotLease spare) {
  Coder coder{.spare = std::move(spare), .encoders = {}};
  SealedExtent extent;
  while (take(extent)) {
    const auto job = extent.job;
    if (!job->core->is_doomed()) encode(coder, std::move(extent));
    extent = SealedExtent();  // its slot is returned before the job may become final
    job->core->finish_work(1);
  }
}

bool EncodeCrew::take(SealedExtent& extent) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return is_stopping_ || !incoming_.empty(); });
  if (incoming_.empty()) return false;
  extent = std::move(incoming_.front());
  incoming_.pop_front();
  return true;
}

// Adaptive: while the disk has less than half of what may wait for it, it waits for us, and coding
// would only make that longer. What may wait is bounded by the slots too, less the crew's own.
Coding EncodeCrew::coding_for(const TargetForm& form) const {
  const uint64_t waiting_max = std::min(queue_depth_, pool_.slot_count() - threads_.size());
  const bool is_disk_idle = writer_.unfinished_count() < waiting_max / 2;
  return form.is_adaptive && is_disk_idle ? Coding::raw : Coding::best;
}

void EncodeCrew::encode(Coder& coder, SealedExtent extent) {
  SaveJob& job = *extent.job;
  const ExtentRef ref = job.plan->order[extent.position];
  const Extent& place = job.filler.extent(extent.position);
  FileEncoding& encoding = *job.files[ref.image].encoding;
  const std::string& path = job.request.files[ref.image].path;
  StageTimer timer(job.trace, "encode");
  auto encoder = coder.encoder_for(encoding.form().form);
  if (!encoder.is_ok()) return job.core->fail(encoder.status().of_file(path, "save"));
  const ByteView bytes = extent.slot.bytes().first(place.size_bytes);
  const auto runs = encoding.elements().runs_in(place.offset, place.size_bytes);
  const Coding coding = coding_for(encoding.form());
  const auto encoded =
      extent.split != nullptr
          ? (*encoder)->encode_split(bytes, *extent.split, coder.spare.bytes(), coding)
          : (*encoder)->encode(bytes, runs, coder.spare.bytes(), coding);
  if (!encoded.is_ok()) {
    return job.core->fail(encoded.status().of_file(path, "save"));
  }
  std::swap(coder.spare, extent.slot);
  const uint64_t encode_ns = timer.stop_ns();
  job.core->note_progress();
  job.core->update([&](SnapshotReport& report) {
    report.encode_ns += encode_ns;
    report.coded_bytes += encoded->is_raw ? 0 : place.size_bytes;
  });
  hand_on(extent.job, ref.image, encoding.put(ref.extent, std::move(extent.slot), *encoded));
}

void EncodeCrew::hand_on(const std::shared_ptr<SaveJob>& job, uint32_t file,
                         std::vector<PlacedExtent> placed) {
  for (PlacedExtent& extent : placed) {
    writer_.enqueue({.job = job,
                     .file = file,
                     .offset = extent.file_offset,
                     .size_bytes = extent.encoded.encoded_bytes,
                     .counted_bytes = extent.encoded.plain_bytes,
                     .slot = std::move(extent.slot),
                     .ready = Clock::now()});
  }
}

}  // namespace tintype
