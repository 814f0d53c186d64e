#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "engine/transcode/extent_feed.h"
#include "engine/transcode/image_ends.h"
#include "engine/transcode/line_size.h"
#include "engine/transcode/source_stream.h"
#include "engine/transcode/transcode.h"
#include "io/archive/compressed_form.h"
#include "io/archive/extent_decoder.h"
#include "io/archive/file_faults.h"
#include "io/archive/zstd_stream.h"

namespace tintype {
namespace {

constexpr uint64_t kStreamPieceBytes = uint64_t{4} << 20;

// Extents decoded by several threads.
class ExtentDecompression final : public PieceWork {
 public:
  ExtentDecompression(ExtentFeed& feed, std::string name, PieceOutput& output,
                      TranscodeMeter& meter, FileForm form, bool has_checksums, uint32_t slot_count)
      : feed_(feed), name_(std::move(name)), output_(output), meter_(meter), slots_(slot_count) {
    for (Slot& slot : slots_) slot.decoder = ExtentDecoder::create(form, has_checksums);
  }

  Result<bool> take(uint32_t number) override {
    Slot& slot = slots_[number];
    return feed_.next(slot.extent, slot.encoded);
  }

  Status work(uint32_t number) override {
    Slot& slot = slots_[number];
    const ByteView encoded = slot.encoded.first(slot.extent.encoded_bytes);
    if (slot.plain.size() < slot.extent.plain_bytes) {
      TINTYPE_ASSIGN_OR_RETURN(slot.plain, AlignedBuffer::make(slot.extent.plain_bytes));
    }
    const Status status =
        slot.decoder->decode(slot.extent, encoded, slot.plain.first(slot.extent.plain_bytes));
    if (!status.is_ok()) return status.of_file(name_);
    meter_.input_bytes += encoded.size();
    return Status::ok();
  }

  Status place(uint32_t number) override {
    const Slot& slot = slots_[number];
    output_bytes_ = slot.extent.plain_offset + slot.extent.plain_bytes;
    return output_.append(slot.plain, slot.extent.plain_bytes, slot.extent.plain_offset);
  }

  Status store(uint32_t number) override {
    const Slot& slot = slots_[number];
    TINTYPE_RETURN_IF_ERROR(
        output_.store(slot.plain, slot.extent.plain_bytes, slot.extent.plain_offset));
    meter_.output_bytes += slot.extent.plain_bytes;
    return Status::ok();
  }

  uint64_t output_bytes() const { return output_bytes_; }

 private:
  struct Slot {
    AlignedBuffer encoded;
    AlignedBuffer plain;
    IndexedExtent extent;
    std::unique_ptr<ExtentDecoder> decoder;
  };

  ExtentFeed& feed_;
  const std::string name_;  // of what is fed
  PieceOutput& output_;
  TranscodeMeter& meter_;
  std::vector<Slot> slots_;
  uint64_t output_bytes_ = 0;
};

// zstd's frames have to be decoded one after the other where nothing tells their places.
class StreamDecompression final : public PieceWork {
 public:
  StreamDecompression(InputStream& stream, ByteView begin, ZstdStream decoder, PieceOutput& output,
                      TranscodeMeter& meter, uint32_t slot_count)
      : stream_(stream),
        decoder_(std::move(decoder)),
        output_(output),
        meter_(meter),
        input_(kStreamPieceBytes),
        slots_(slot_count) {
    std::copy(begin.begin(), begin.end(), input_.begin());
    rest_ = ByteView(input_).first(begin.size());
    total_.input_bytes = begin.size();
  }

  Result<bool> take(uint32_t number) override {
    Slot& slot = slots_[number];
    if (slot.plain.size() == 0) {
      TINTYPE_ASSIGN_OR_RETURN(slot.plain, AlignedBuffer::make(kStreamPieceBytes));
    }
    slot.offset = total_.output_bytes;
    for (slot.size_bytes = 0; slot.size_bytes < kStreamPieceBytes;) {
      const MutableBytes target = slot.plain.first(kStreamPieceBytes).subspan(slot.size_bytes);
      TINTYPE_ASSIGN_OR_RETURN(const size_t count, decoder_.decode(rest_, target));
      slot.size_bytes += count;
      if (count != 0 || !rest_.empty()) continue;
      TINTYPE_ASSIGN_OR_RETURN(const bool is_more, refill());
      if (!is_more) break;
    }
    total_.output_bytes += slot.size_bytes;
    if (slot.size_bytes == 0) TINTYPE_RETURN_IF_ERROR(decoder_.finish());
    return slot.size_bytes != 0;
  }

  Status work(uint32_t) override { return Status::ok(); }

  Status place(uint32_t number) override {
    const Slot& slot = slots_[number];
    ends_.see(slot.plain.first(slot.size_bytes));
    return output_.append(slot.plain, slot.size_bytes, slot.offset);
  }

  Status store(uint32_t number) override {
    const Slot& slot = slots_[number];
    TINTYPE_RETURN_IF_ERROR(output_.store(slot.plain, slot.size_bytes, slot.offset));
    meter_.output_bytes += slot.size_bytes;
    return Status::ok();
  }

  const Transcoded& total() const { return total_; }
  // No table tells that all frames came: a checkpoint's end may.
  Status check_whole(const std::string& name) const {
    if (decoder_.may_lack_frames() && ends_.lacks_end()) {
      return damaged_file(name, "is cut off between two frames: it holds a checkpoint without end");
    }
    if (decoder_.lacks_table() && !ends_.is_whole()) {
      return damaged_file(name, "is cut off between two frames: its seek table is missing");
    }
    return Status::ok();
  }

 private:
  struct Slot {
    AlignedBuffer plain;
    size_t size_bytes = 0;
    uint64_t offset = 0;
  };

  Result<bool> refill() {
    TINTYPE_ASSIGN_OR_RETURN(const size_t count, stream_.read(input_));
    rest_ = ByteView(input_).first(count);
    total_.input_bytes += count;
    meter_.input_bytes += count;
    return count != 0;
  }

  InputStream& stream_;
  ZstdStream decoder_;
  PieceOutput& output_;
  TranscodeMeter& meter_;
  ByteVector input_;
  ByteView rest_;  // of it
  ImageEnds ends_;
  std::vector<Slot> slots_;
  Transcoded total_;
};

class Decompression {
 public:
  Decompression(PieceOutput& output, const TranscodeOptions& options)
      : output_(output),
        options_(options),
        meter_(options.meter != nullptr ? *options.meter : unwatched_) {}

  Result<Transcoded> by_index(const ByteSource& source, const FrameIndex& index) {
    IndexedFeed feed(source, index);
    const uint64_t slot_bytes = index.largest_encoded_bytes() + index.largest_plain_bytes();
    TINTYPE_ASSIGN_OR_RETURN(
        const uint64_t output_bytes,
        by_extents(feed, source.name(), index.form, index.has_checksums, slot_bytes));
    return Transcoded{.input_bytes = source.size_bytes(), .output_bytes = output_bytes};
  }

  Result<Transcoded> by_planes_stream(InputStream& stream, ByteView begin,
                                      const std::string& name) {
    PlanesStreamFeed feed(stream, name);
    TINTYPE_ASSIGN_OR_RETURN(const uint64_t slot_bytes, feed.read_head(begin));
    TINTYPE_ASSIGN_OR_RETURN(const uint64_t output_bytes,
                             by_extents(feed, name, FileForm::planes, true, slot_bytes));
    return Transcoded{.input_bytes = feed.size_bytes(), .output_bytes = output_bytes};
  }

  Result<Transcoded> by_zstd_stream(InputStream& stream, ByteView begin, const std::string& name,
                                    std::optional<uint64_t> file_bytes) {
    ZstdStream decoder(name, options_.limits, file_bytes);
    LineOptions line = line_for(options_, kStreamPieceBytes);
    line.slot_count = std::min(line.slot_count, 1 + kMovingPieces);  // one decodes, others write
    line.worker_count = line.slot_count;
    StreamDecompression work(stream, begin, std::move(decoder), output_, meter_, line.slot_count);
    TINTYPE_RETURN_IF_ERROR(run_line(work, line));
    TINTYPE_RETURN_IF_ERROR(work.check_whole(name));
    return work.total();
  }

 private:
  // Returns how many bytes came of them.
  Result<uint64_t> by_extents(ExtentFeed& feed, const std::string& name, FileForm form,
                              bool has_checksums, uint64_t slot_bytes) {
    const LineOptions line = line_for(options_, std::max<uint64_t>(1, slot_bytes));
    ExtentDecompression work(feed, name, output_, meter_, form, has_checksums, line.slot_count);
    TINTYPE_RETURN_IF_ERROR(run_line(work, line));
    return work.output_bytes();
  }

  PieceOutput& output_;
  const TranscodeOptions& options_;
  TranscodeMeter unwatched_;
  TranscodeMeter& meter_;
};

// One of the compressed forms.
Result<FileForm> packed_form(const ByteSource& source) {
  TINTYPE_RETURN_IF_ERROR(check_not_cut_short(source));
  TINTYPE_ASSIGN_OR_RETURN(const FileForm form, detect_form(source));
  if (form != FileForm::plain) return form;
  return Status::unsupported(fmt::format(
      "'{}' is neither of zstd's form nor of Tintype's planes form: there is nothing to "
      "decompress",
      source.name()));
}

// Nothing where the file is better read as a stream.
Result<std::optional<FrameIndex>> find_index(const ByteSource& source, FileForm form,
                                             const ReadLimits& limits) {
  TINTYPE_ASSIGN_OR_RETURN(const bool has_index, has_frame_index(source, form));
  if (!has_index) return std::optional<FrameIndex>();
  Result<FrameIndex> index = read_frame_index(source, form, limits);
  if (form == FileForm::zstd) {
    // Frames that are larger than ours, without checksums, or other files in front are no less
    // sound: front to back, each table is compared with what it lists.
    if (index.status().code() == StatusCode::unsupported) return std::optional<FrameIndex>();
    if (index.is_ok() && !index->has_checksums) return std::optional<FrameIndex>();
  }
  TINTYPE_RETURN_IF_ERROR(index.status());
  return std::optional<FrameIndex>(std::move(*index));
}

}  // namespace

Result<Transcoded> decompress(const ByteSource& source, PieceOutput& output,
                              const TranscodeOptions& options) {
  TINTYPE_ASSIGN_OR_RETURN(const FileForm form, packed_form(source));
  TINTYPE_ASSIGN_OR_RETURN(const auto index, find_index(source, form, options.limits));
  Decompression decompression(output, options);
  if (index.has_value()) return decompression.by_index(source, *index);
  SourceStream stream(source);
  return decompression.by_zstd_stream(stream, {}, source.name(), source.size_bytes());
}

Result<Transcoded> decompress(InputStream& stream, const std::string& name, PieceOutput& output,
                              const TranscodeOptions& options) {
  ByteVector begin(kPlanesMagic.size());
  TINTYPE_ASSIGN_OR_RETURN(const size_t count, stream.read(begin));
  if (count == 0) return damaged_file(name, "is cut off before its first byte: nothing came");
  begin.resize(count);
  TINTYPE_ASSIGN_OR_RETURN(const FileForm form, packed_form(MemorySource(begin, name)));
  Decompression decompression(output, options);
  if (form == FileForm::zstd) {
    return decompression.by_zstd_stream(stream, begin, name, std::nullopt);
  }
  return decompression.by_planes_stream(stream, begin, name);
}

Result<uint64_t> plain_bytes_of(const ByteSource& source, const ReadLimits& limits) {
  TINTYPE_ASSIGN_OR_RETURN(const FileForm form, packed_form(source));
  TINTYPE_ASSIGN_OR_RETURN(const auto index, find_index(source, form, limits));
  return index.has_value() ? index->plain_bytes : 0;
}

}  // namespace tintype
