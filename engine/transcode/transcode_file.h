// Files and streams compressed and decompressed, as a user names them.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "engine/transcode/transcode.h"
#include "io/disk/byte_stream.h"
#include "io/disk/file_system.h"

namespace tintype {

// A file, or a stream that is open already; then `path` is what error texts call it.
struct TranscodeInput {
  std::string path;
  InputStream* stream = nullptr;
  bool is_removed = false;  // the name of a file, once the output, a file too, is durable
};

struct TranscodeOutput {
  std::string path;
  OutputStream* stream = nullptr;
  bool may_replace = false;  // else already_exists where something stands
};

struct FileTranscoded {
  Transcoded total;
  std::vector<std::string> notes;  // what the user should know
  Status removal;                  // of the input; an error leaves it, and the output stands
};

// A file appears under its name when it is whole and durable, by the steps of
// io/disk/atomic_file.h, or not at all; it gets the input's mode, or keeps that of the file that it
// replaces. A stream has got what came before an error. Errors: those of compress(), and of both
// ends; invalid_argument where the output leads to the input file, by whatever links, or by a
// symlink to a name that asks for another form; io_error where an input file was written to
// meanwhile.
Result<FileTranscoded> compress_file(FileSystem& file_system, const TranscodeInput& input,
                                     const TranscodeOutput& output,
                                     const CompressOptions& compress_options,
                                     const TranscodeOptions& options);
Result<FileTranscoded> decompress_file(FileSystem& file_system, const TranscodeInput& input,
                                       const TranscodeOutput& output,
                                       const TranscodeOptions& options);

}  // namespace tintype
