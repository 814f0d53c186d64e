#include "engine/restore/image.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "engine/restore/file_source.h"
#include "engine/restore/read_ahead.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/zip_end.h"
#include "io/archive/zstd_stream.h"

namespace tintype {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPieceBytes = size_t{128} << 10;
constexpr size_t kBeginBytes = 512;  // enough to tell what a file is
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
      : file_(file),
        limits_(limits),
        is_interrupted_(is_interrupted),
        stream_(file.name(), limits, file.size_bytes()) {}

  Result<std::unique_ptr<ByteSource>> run() {
    const uint64_t size_bytes = file_.size_bytes();
    for (uint64_t offset = 0; offset < size_bytes; offset += kPieceBytes) {
      const uint64_t piece_bytes = std::min<uint64_t>(kPieceBytes, size_bytes - offset);
      TINTYPE_ASSIGN_OR_RETURN(const ByteVector piece, read_range(file_, offset, piece_bytes));
      TINTYPE_RETURN_IF_ERROR(decode(piece));
    }
    TINTYPE_RETURN_IF_ERROR(stream_.finish());
    return std::unique_ptr<ByteSource>(new OwnedBytes(std::move(plain_), file_.name()));
  }

 private:
  Status decode(ByteView input) {
    for (size_t count = 1; count != 0 || !input.empty();) {
      TINTYPE_ASSIGN_OR_RETURN(count, stream_.decode(input, decoded_));
      const bool is_begin = plain_.size() < kBeginBytes;
      append_bytes(plain_, ByteView(decoded_).first(count));
      if (is_begin && plain_.size() >= kBeginBytes) TINTYPE_RETURN_IF_ERROR(check_begin());
      if (plain_.size() > limits_.streamed_image_bytes) return too_large();
      if (is_interrupted()) return Status(StatusCode::interrupted, "reading was interrupted");
    }
    return Status::ok();
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
  ZstdStream stream_;
  ByteVector plain_;
  ByteVector decoded_ = ByteVector(kPieceBytes);
  Clock::time_point asked_ = Clock::now();
};

}  // namespace

Result<Image> image_of(std::unique_ptr<ByteSource> file, const ReadLimits& limits,
                       const std::function<bool()>& is_interrupted) {
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
