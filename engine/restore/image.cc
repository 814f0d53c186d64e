#include "engine/restore/image.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "engine/restore/file_source.h"
#include "engine/restore/read_ahead.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/zstd_stream.h"

namespace tintype {
namespace {

constexpr size_t kPieceBytes = size_t{128} << 10;

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

Result<std::unique_ptr<ByteSource>> decode_whole(const ByteSource& file, const ReadLimits& limits) {
  ZstdStream stream(file.name(), limits);
  ByteVector plain;
  ByteVector piece;
  ByteVector decoded(kPieceBytes);
  for (uint64_t offset = 0; offset < file.size_bytes(); offset += piece.size()) {
    TINTYPE_ASSIGN_OR_RETURN(
        piece,
        read_range(file, offset, std::min<uint64_t>(kPieceBytes, file.size_bytes() - offset)));
    ByteView input = piece;
    for (size_t count = 1; count != 0 || !input.empty();) {
      TINTYPE_ASSIGN_OR_RETURN(count, stream.decode(input, decoded));
      append_bytes(plain, ByteView(decoded).first(count));
      if (plain.size() > limits.streamed_image_bytes) {
        return Status::unsupported(fmt::format(
            "'{}' has no seek table, so that it would have to be kept in memory, and has more than "
            "{} bytes; decompress it with `zstd -d`, or write it with tintype",
            file.name(), limits.streamed_image_bytes));
      }
    }
  }
  TINTYPE_RETURN_IF_ERROR(stream.finish());
  return std::unique_ptr<ByteSource>(new OwnedBytes(std::move(plain), file.name()));
}

}  // namespace

Result<Image> image_of(std::unique_ptr<ByteSource> file, const ReadLimits& limits) {
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
    TINTYPE_ASSIGN_OR_RETURN(image.source, decode_whole(*file, limits));
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
