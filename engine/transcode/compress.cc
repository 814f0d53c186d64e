#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/transcode/line_size.h"
#include "engine/transcode/transcode.h"
#include "io/archive/compressed_layout.h"

namespace tintype {
namespace {

struct Slot {
  AlignedBuffer plain;
  AlignedBuffer encoded;
  uint64_t plain_offset = 0;
  size_t plain_bytes = 0;
  EncodedExtent extent;
  uint64_t file_offset = 0;
};

// What encoders may hold beside the pieces: enough for 8 of a low level, or one of the highest.
constexpr uint64_t kEncodersBytes = uint64_t{32} << 20;

class Compression final : public PieceWork {
 public:
  Compression(InputStream& input, const ElementMap& elements, PieceOutput& output,
              TranscodeMeter& meter)
      : input_(input), elements_(elements), output_(output), meter_(meter) {}

  Status prepare(const CompressOptions& options, const LineOptions& line) {
    idle_encoders_.resize(line.worker_count);
    for (auto& encoder : idle_encoders_) {
      TINTYPE_ASSIGN_OR_RETURN(encoder, ExtentEncoder::create(options.encoder));
    }
    slots_.resize(line.slot_count);
    for (Slot& slot : slots_) {
      TINTYPE_ASSIGN_OR_RETURN(slot.plain, AlignedBuffer::make(options.extent_bytes));
      TINTYPE_ASSIGN_OR_RETURN(slot.encoded,
                               AlignedBuffer::make(encoded_bound_bytes(options.extent_bytes)));
    }
    return write(file_head(options.encoder.form));
  }

  Result<bool> take(uint32_t number) override {
    Slot& slot = slots_[number];
    TINTYPE_ASSIGN_OR_RETURN(slot.plain_bytes, input_.read(slot.plain.first(slot.plain.size())));
    slot.plain_offset = plain_end_;
    plain_end_ += slot.plain_bytes;
    return slot.plain_bytes != 0;
  }

  Status work(uint32_t number) override {
    Slot& slot = slots_[number];
    const ByteView plain = slot.plain.first(slot.plain_bytes);
    const auto runs = elements_.runs_in(slot.plain_offset, slot.plain_bytes);
    std::unique_ptr<ExtentEncoder> encoder = take_encoder();
    TINTYPE_ASSIGN_OR_RETURN(slot.extent,
                             encoder->encode(plain, runs, slot.encoded.first(slot.encoded.size())));
    return_encoder(std::move(encoder));
    meter_.input_bytes += slot.plain_bytes;
    return Status::ok();
  }

  Status place(uint32_t number) override {
    Slot& slot = slots_[number];
    slot.file_offset = file_end_;
    file_end_ += slot.extent.encoded_bytes;
    extents_.push_back(slot.extent);
    return output_.append(slot.encoded, slot.extent.encoded_bytes, slot.file_offset);
  }

  Status store(uint32_t number) override {
    const Slot& slot = slots_[number];
    TINTYPE_RETURN_IF_ERROR(
        output_.store(slot.encoded, slot.extent.encoded_bytes, slot.file_offset));
    meter_.output_bytes += slot.extent.encoded_bytes;
    return Status::ok();
  }

  Result<Transcoded> finish(FileForm form) {
    TINTYPE_ASSIGN_OR_RETURN(const ByteVector tail, file_tail(form, extents_));
    TINTYPE_RETURN_IF_ERROR(write(tail));
    return Transcoded{.input_bytes = plain_end_, .output_bytes = file_end_};
  }

 private:
  // There is one for each piece that is worked on at once.
  std::unique_ptr<ExtentEncoder> take_encoder() {
    std::lock_guard lock(mutex_);
    TINTYPE_CHECK(!idle_encoders_.empty());
    auto encoder = std::move(idle_encoders_.back());
    idle_encoders_.pop_back();
    return encoder;
  }

  void return_encoder(std::unique_ptr<ExtentEncoder> encoder) {
    std::lock_guard lock(mutex_);
    idle_encoders_.push_back(std::move(encoder));
  }

  Status write(ByteView bytes) {
    if (bytes.empty()) return Status::ok();
    TINTYPE_ASSIGN_OR_RETURN(const AlignedBuffer buffer, AlignedBuffer::make(bytes.size()));
    std::copy(bytes.begin(), bytes.end(), buffer.first(bytes.size()).begin());
    TINTYPE_RETURN_IF_ERROR(output_.append(buffer, bytes.size(), file_end_));
    TINTYPE_RETURN_IF_ERROR(output_.store(buffer, bytes.size(), file_end_));
    file_end_ += bytes.size();
    return Status::ok();
  }

  InputStream& input_;
  const ElementMap& elements_;
  PieceOutput& output_;
  TranscodeMeter& meter_;
  std::vector<Slot> slots_;
  uint64_t plain_end_ = 0;
  uint64_t file_end_ = 0;
  std::vector<EncodedExtent> extents_;

  std::mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<ExtentEncoder>> idle_encoders_;
};

}  // namespace

Result<Transcoded> compress(InputStream& input, const ElementMap& elements,
                            const CompressOptions& compress_options, PieceOutput& output,
                            const TranscodeOptions& options) {
  TINTYPE_CHECK(compress_options.extent_bytes % kDirectAlignmentBytes == 0);
  TranscodeMeter unwatched;
  Compression compression(input, elements, output,
                          options.meter != nullptr ? *options.meter : unwatched);
  TranscodeOptions with_encoders = options;
  with_encoders.memory_bytes += kEncodersBytes;
  const LineOptions line =
      line_for(with_encoders,
               compress_options.extent_bytes + encoded_bound_bytes(compress_options.extent_bytes),
               encoder_memory_bytes(compress_options.encoder));
  TINTYPE_RETURN_IF_ERROR(compression.prepare(compress_options, line));
  TINTYPE_RETURN_IF_ERROR(run_line(compression, line));
  return compression.finish(compress_options.encoder.form);
}

}  // namespace tintype
