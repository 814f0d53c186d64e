#include "engine/restore/image.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "engine/restore/file_source.h"
#include "engine/restore/read_ahead.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/file_faults.h"
#include "io/archive/zip_end.h"
#include "io/archive/zstd_stream.h"

namespace tintype {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPieceBytes = size_t{128} << 10;
constexpr size_t kBeginBytes = 512;        // enough to tell what a file is
constexpr uint64_t kSuspiciousRatio = 64;  // no trained state shrinks so much; zeros do
constexpr auto kAskInterval = std::chrono::milliseconds(20);

// Bytes in memory of its own.
class OwnedBytes final : public ByteSource {
 public:
  OwnedBytes(ByteVector bytes, std::string name)
      : bytes_(std::move(bytes)), view_(bytes_, std::move(name)) {}

  uint64_t size_bytes() const override { return bytes_.size(); }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    return view_.read_at(target, offset);
  }
  Result<uint32_t> read_with_crc(MutableBytes target, uint64_t offset) const override {
    return view_.read_with_crc(target, offset);
  }
  const std::string& name() const override { return view_.name(); }

 private:
  const ByteVector bytes_;
  const MemorySource view_;
};

// A `.zst` without a seek table, front to back.
class WholeDecoder {
 public:
  WholeDecoder(const ByteSource& file, const ReadLimits& limits,
               const std::function<bool()>& is_interrupted)
      : file_(file), limits_(limits), is_interrupted_(is_interrupted) {}

  Result<std::unique_ptr<ByteSource>> run() {
    TINTYPE_RETURN_IF_ERROR(decode_all(
        [this](ByteView decoded, uint64_t read_bytes) { return keep(decoded, read_bytes); }));
    return std::unique_ptr<ByteSource>(new OwnedBytes(std::move(plain_), file_.name()));
  }

 private:
  // Calls `use` with each piece that was decoded, and how much of the file was read for it.
  template <typename Use>
  Status decode_all(const Use& use) {
    ZstdStream stream(file_.name(), limits_, file_.size_bytes());
    ByteVector decoded(kPieceBytes);
    for (uint64_t read_bytes = 0; read_bytes < file_.size_bytes();) {
      const uint64_t piece_bytes = std::min<uint64_t>(kPieceBytes, file_.size_bytes() - read_bytes);
      TINTYPE_ASSIGN_OR_RETURN(const ByteVector piece, read_range(file_, read_bytes, piece_bytes));
      read_bytes += piece_bytes;
      ByteView input = piece;
      for (size_t count = 1; count != 0 || !input.empty();) {
        TINTYPE_ASSIGN_OR_RETURN(count, stream.decode(input, decoded));
        TINTYPE_RETURN_IF_ERROR(use(ByteView(decoded).first(count), read_bytes));
        if (is_interrupted()) return Status(StatusCode::interrupted, "reading was interrupted");
      }
    }
    return stream.finish();
  }

  Status keep(ByteView decoded, uint64_t read_bytes) {
    const bool is_begin = plain_.size() < kBeginBytes;
    append_bytes(plain_, decoded);
    if (is_begin && plain_.size() >= kBeginBytes) TINTYPE_RETURN_IF_ERROR(check_begin());
    if (plain_.size() > limits_.streamed_image_bytes) return too_large();
    const bool is_suspect =
        plain_.size() > limits_.image_free_bytes && plain_.size() / kSuspiciousRatio > read_bytes;
    return is_suspect ? check_expansion() : Status::ok();
  }

  // Decodes the file once more, all of it, and keeps nothing: what begins like this may be made to
  // fill memory.
  Status check_expansion() {
    if (std::exchange(is_expansion_checked_, true)) return Status::ok();
    uint64_t plain_bytes = 0;
    return decode_all([&](ByteView decoded, uint64_t) {
      plain_bytes += decoded.size();
      return plain_bytes > limits_.streamed_image_bytes ? too_large() : Status::ok();
    });
  }

  // Before much memory is spent on what is no archive.
  Status check_begin() const {
    if (as_text(plain_).starts_with("PK\x03\x04")) return Status::ok();
    const MemorySource begin(ByteView(plain_).first(kBeginBytes), file_.name());
    Status status = explain_foreign_file(begin);
    if (status.code() == StatusCode::unsupported) return status;
    return Status::corruption(
               fmt::format(
                   "'{}' is no checkpoint: what it was compressed from does not begin as one",
                   file_.name()))
        .with_remedy("check the path, or decompress it with `zstd -d`");
  }

  Status too_large() const {
    return Status::unsupported(
        fmt::format("'{}' has no seek table, so that it would have to be kept in memory, and has "
                    "more than {} bytes",
                    file_.name(), limits_.streamed_image_bytes),
        "decompress it with `zstd -d`, or write it with tintype");
  }

  bool is_interrupted() {
    const auto now = Clock::now();
    if (!is_interrupted_ || now - asked_ < kAskInterval) return false;
    asked_ = now;
    return is_interrupted_();
  }

  const ByteSource& file_;
  const ReadLimits& limits_;
  const std::function<bool()>& is_interrupted_;
  ByteVector plain_;
  bool is_expansion_checked_ = false;
  Clock::time_point asked_ = Clock::now();
};

}  // namespace

Result<Image> image_of(std::unique_ptr<ByteSource> file, const ReadLimits& limits,
                       const std::function<bool()>& is_interrupted) {
  TINTYPE_RETURN_IF_ERROR(check_not_at_end(*file));
  TINTYPE_RETURN_IF_ERROR(check_not_cut_short(*file));
  TINTYPE_ASSIGN_OR_RETURN(const FileForm form, detect_form(*file));
  Image image{.source = nullptr, .form = form, .file_bytes = file->size_bytes()};
  if (form == FileForm::plain) {
    image.source = std::move(file);
    return image;
  }
  TINTYPE_ASSIGN_OR_RETURN(const bool is_indexed, has_frame_index(*file, form));
  if (is_indexed) {
    TINTYPE_ASSIGN_OR_RETURN(auto source, CompressedSource::open(std::move(file), form, limits));
    image.compressed = source.get();
    image.source = std::move(source);
  } else {
    TINTYPE_ASSIGN_OR_RETURN(image.source, WholeDecoder(*file, limits, is_interrupted).run());
  }
  return image;
}

Result<std::unique_ptr<ByteSource>> open_file(FileSystem& file_system, const std::string& path,
                                              Access access) {
  if (access == Access::one_pass) return open_for_one_pass(file_system, path);
  TINTYPE_ASSIGN_OR_RETURN(auto file, FileSource::open(file_system, path));
  return std::unique_ptr<ByteSource>(std::move(file));
}

Result<Image> open_image(FileSystem& file_system, const std::string& path, Access access,
                         const ReadLimits& limits) {
  TINTYPE_ASSIGN_OR_RETURN(auto file, open_file(file_system, path, access));
  return image_of(std::move(file), limits);
}

}  // namespace tintype
