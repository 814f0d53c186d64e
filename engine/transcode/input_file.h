// The file that is compressed or decompressed, held open until its output stands.
//
// A name may lead to another file meanwhile, and another process may write to this one: neither may
// cost what nobody has read.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "base/status.h"
#include "io/archive/byte_source.h"
#include "io/disk/file_system.h"

namespace tintype {

class InputFile {
 public:
  // Errors as FileSource::open. `file_system` outlives this.
  static Result<std::unique_ptr<InputFile>> open(FileSystem& file_system, const std::string& path);

  const std::string& path() const { return path_; }  // as it was given
  // For one pass from front to back.
  const ByteSource& source() const { return *source_; }
  File& file() const { return *file_; }
  // When it was opened.
  const FileInfo& info() const { return opened_; }

  // io_error where it was written to since it was opened, as far as its size and time tell.
  Status check_unchanged() const;

  // Removes the name, itself where it is a symlink. io_error, and nothing is removed, unless it
  // still leads to this file, untouched since it was opened.
  Status remove_name() const;

 private:
  InputFile(FileSystem& file_system, std::string path)
      : file_system_(file_system), path_(std::move(path)) {}

  Status check_name() const;

  FileSystem& file_system_;
  const std::string path_;
  std::unique_ptr<File> file_;
  FileInfo opened_;
  std::unique_ptr<ByteSource> source_;  // over file_
};

}  // namespace tintype
