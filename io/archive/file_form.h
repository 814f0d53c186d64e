// The forms in which a checkpoint lies on disk (io/archive/FORMAT.md), and how one is known.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "base/status.h"
#include "io/archive/byte_source.h"

namespace tintype {

enum class FileForm : uint8_t {
  plain,   // the file image itself
  zstd,    // frames of zstd with a seek table: `zstd -d` gives the plain file
  planes,  // byte planes, each compressed by itself
};

inline constexpr std::array kFileForms = {FileForm::plain, FileForm::zstd, FileForm::planes};

// "plain", "zstd", "planes".
std::string_view to_string(FileForm form);

// What a name asks for by its ending, in either case: .zst, .ttz, else plain. A directory in front
// and dots before the name do not count: ".zst" and "..ttz" are plain names.
FileForm form_of_name(std::string_view path);

// invalid_argument where the file that `path` leads to by symlinks, `resolved`, asks for another
// form than it does: by that name what is written would be taken for something else.
Status check_form_of_link(std::string_view path, std::string_view resolved);

// ".zst", ".ttz", or nothing.
std::string_view suffix_of(FileForm form);

// What the first bytes are. A file that is neither compressed form is plain, whatever it holds.
Result<FileForm> detect_form(const ByteSource& source);

}  // namespace tintype
