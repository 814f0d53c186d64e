// `.tintype.lock`: one writer per directory, by a kernel lock that dies with its process.
#pragma once

#include <memory>
#include <string>

#include "base/status.h"
#include "io/disk/file_system.h"

namespace tintype {

// Held from take() to destruction. A forked child does not inherit it: the disk layer closes its
// files in children, so the lock is free as soon as the parent lets go.
class DirectoryLock {
 public:
  // `locked` where another process, or this one, holds it for more than 250 ms; the text names the
  // holder by host, process and start time as the file tells them.
  static Result<std::unique_ptr<DirectoryLock>> take(Directory& directory);

  // For a moment's housekeeping: creates no file and leaves the text about the holder as it is.
  // Null where there is no lock file, and so nobody to lock out.
  static Result<std::unique_ptr<DirectoryLock>> borrow(Directory& directory);

  // Who holds it right now; empty where nobody does.
  static Result<std::string> holder_of(Directory& directory);

  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  explicit DirectoryLock(std::unique_ptr<File> file);
  std::unique_ptr<File> file_;
};

}  // namespace tintype
