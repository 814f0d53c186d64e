// Opening a checkpoint of any form as its plain image.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "engine/restore/compressed_source.h"
#include "io/archive/byte_source.h"
#include "io/archive/file_form.h"
#include "io/archive/read_limits.h"
#include "io/disk/file_system.h"

namespace tintype {

enum class Access {
  random,
  one_pass,  // front to back: read ahead where the file is not in the page cache
};

struct Image {
  std::unique_ptr<ByteSource> source;  // the plain image; its name is the file's
  FileForm form = FileForm::plain;     // of the file
  uint64_t file_bytes = 0;
  // The source itself, where it is decoded extent by extent; else null.
  const CompressedSource* compressed = nullptr;
};

// The file as it is. Errors: the system's with errno.
Result<std::unique_ptr<ByteSource>> open_file(FileSystem& file_system, const std::string& path,
                                              Access access);

// The form is told by the first bytes, whatever the name. A `.zst` without a seek table, as the
// zstd command makes it, is decoded into memory, where it begins as an archive; `is_interrupted` is
// asked meanwhile, every few milliseconds. Errors: the file's; corruption; unsupported for a limit
// and for what is no checkpoint, with what to do; interrupted.
Result<Image> image_of(std::unique_ptr<ByteSource> file, const ReadLimits& limits = {},
                       const std::function<bool()>& is_interrupted = {});
Result<Image> open_image(FileSystem& file_system, const std::string& path, Access access,
                         const ReadLimits& limits = {});

}  // namespace tintype
