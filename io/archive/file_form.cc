#include "io/archive/file_form.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "base/bytes.h"
#include "io/archive/compressed_form.h"

namespace tintype {
namespace {

constexpr std::string_view kZstdSuffix = ".zst";
constexpr std::string_view kPlanesSuffix = ".ttz";

// Of ASCII letters alone, whatever the locale.
char to_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool has_suffix(std::string_view name, std::string_view suffix) {
  return name.size() >= suffix.size() &&
         std::equal(suffix.begin(), suffix.end(),
                    name.end() - static_cast<ptrdiff_t>(suffix.size()),
                    [](char wanted, char found) { return wanted == to_lower(found); });
}

}  // namespace

std::string_view to_string(FileForm form) {
  switch (form) {
    case FileForm::plain: return "plain";
    case FileForm::zstd: return "zstd";
    case FileForm::planes: return "planes";
  }
  return "?";
}

FileForm form_of_name(std::string_view path) {
  std::string_view name = path.substr(path.find_last_of('/') + 1);
  name.remove_prefix(std::min(name.find_first_not_of('.'), name.size()));
  if (name.find('.') == std::string_view::npos) return FileForm::plain;
  if (has_suffix(name, kZstdSuffix)) return FileForm::zstd;
  if (has_suffix(name, kPlanesSuffix)) return FileForm::planes;
  return FileForm::plain;
}

Status check_form_of_link(std::string_view path, std::string_view resolved) {
  const FileForm at_end = form_of_name(resolved);
  if (at_end == form_of_name(path)) return Status::ok();
  return Status::invalid_argument(fmt::format(
      "it is a symlink to '{}', whose name asks for the {} form", resolved, to_string(at_end)));
}

std::string_view suffix_of(FileForm form) {
  switch (form) {
    case FileForm::plain: return "";
    case FileForm::zstd: return kZstdSuffix;
    case FileForm::planes: return kPlanesSuffix;
  }
  return "";
}

Result<FileForm> detect_form(const ByteSource& source) {
  std::array<std::byte, 8> head = {};
  const size_t count = std::min<uint64_t>(head.size(), source.size_bytes());
  TINTYPE_RETURN_IF_ERROR(source.read_at(MutableBytes(head).first(count), 0));
  if (as_text(head) == kPlanesMagic) return FileForm::planes;
  const auto magic = load_little_endian<uint32_t>(head, 0);
  const bool is_zstd = magic == kZstdMagic || is_skippable_magic(magic);
  return is_zstd ? FileForm::zstd : FileForm::plain;
}

}  // namespace tintype
