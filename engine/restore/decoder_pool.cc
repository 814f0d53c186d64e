#include "engine/restore/decoder_pool.h"

#include <utility>

#include <fmt/format.h>

#include "engine/restore/huge_pages.h"

namespace tintype {

// A worker that is put back whatever happens: others may be waiting for it.
class DecoderPool::Lease {
 public:
  explicit Lease(DecoderPool& pool) : pool_(pool), worker_(pool.take()) {}
  ~Lease() { pool_.put_back(std::move(worker_)); }
  Worker* operator->() const { return worker_.get(); }

  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;

 private:
  DecoderPool& pool_;
  std::unique_ptr<Worker> worker_;
};

Status DecoderPool::decode(size_t extent, MutableBytes plain) {
  const IndexedExtent& indexed = index_.extents[extent];
  const Lease worker(*this);
  if (worker->decoder == nullptr) {
    worker->decoder = ExtentDecoder::create(index_.form, index_.has_checksums);
  }
  if (worker->memory.size() < indexed.encoded_bytes) {
    worker->memory.clear();
    resize_in_huge_pages(worker->memory, indexed.encoded_bytes);
  }
  const MutableBytes encoded = MutableBytes(worker->memory).first(indexed.encoded_bytes);
  Status status = file_.read_at(encoded, indexed.file_offset);
  if (status.is_ok()) {
    status = worker->decoder->decode(indexed, encoded, plain);
    const bool is_damaged = status.code() == StatusCode::corruption;
    status =
        status.with_context(fmt::format("extent {}{}", extent, is_damaged ? " is damaged" : ""));
  }
  if (status.is_ok()) is_sound_[extent] = true;
  return status;
}

std::unique_ptr<DecoderPool::Worker> DecoderPool::take() {
  std::unique_lock lock(mutex_);
  has_idle_.wait(lock, [&] { return !idle_.empty() || made_count_ < decoder_max_; });
  if (!idle_.empty()) {
    auto worker = std::move(idle_.back());
    idle_.pop_back();
    return worker;
  }
  auto worker = std::make_unique<Worker>();
  ++made_count_;
  return worker;
}

void DecoderPool::put_back(std::unique_ptr<Worker> worker) {
  std::lock_guard lock(mutex_);
  idle_.push_back(std::move(worker));
  has_idle_.notify_one();
}

}  // namespace tintype
