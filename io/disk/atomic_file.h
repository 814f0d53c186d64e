// The numbered commit protocol for one file (docs/design.md, "Writing and committing"):
//
//   1  refuse if the planned bytes exceed what this user may still allocate
//   2  O_TMPFILE in the target directory; a named temp where unsupported; flock on it
//   3  fallocate
//   4  write all extents (the caller, through file())
//   5  truncate to the exact size
//   6  fdatasync
//   7  verify (the caller's callback, optional)
//   8a link to .NAME.tintype-HOST-PID-NONCE
//   8b rename onto the final name; exchange where a file stands there
//   9a fsync the directory
//   9b the exchanged old file: open it, unlink its temp name, keep the descriptor      = durable
//
// Up to 8b a failure leaves the old file standing and removes the temp. At 9a the names are
// exchanged back; if that fails too the error says that the new file stands but may not be durable.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/status.h"
#include "io/disk/file_system.h"

namespace tintype {

struct AtomicFileOptions {
  bool is_symlink_followed = true;
  bool is_named_temp = false;  // skip O_TMPFILE (tests, and file systems that lie about it)
};

class AtomicFile {
 public:
  // Step 0 (nothing touched yet): resolves the path and refuses a target that is neither a regular
  // file nor a symlink to one or to nothing. `directories` are opened through `file_system`.
  static Result<std::unique_ptr<AtomicFile>> open(FileSystem& file_system, const std::string& path,
                                                  AtomicFileOptions options = {});
  // Abandons what was not committed: closes and removes the temp.
  ~AtomicFile();

  // Steps 1 to 3. Also removes orphaned temps on this process's first use of the directory.
  Status begin(uint64_t planned_bytes);
  // REQUIRES: begin() succeeded.
  File& file();

  struct CommitHooks {
    std::function<Status(File&)> verify;       // step 7; may be empty
    std::function<bool()> may_pass_8b;         // false: cancelled, stop before the rename; may be empty
  };
  // Steps 5 to 9b.
  Status commit(uint64_t exact_bytes, const CommitHooks& hooks = {});

  // The file that was replaced, kept open so that closing it (which frees its blocks and can take
  // long) can be done elsewhere. Null when nothing was replaced.
  std::unique_ptr<File> take_replaced();

  // Absolute, symlinks of the last component resolved when they are followed.
  const std::string& path() const;

  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

 private:
  struct State;
  explicit AtomicFile(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// ".NAME.tintype-HOST-PID-NONCE", and the question whether a name has that form.
std::string temp_name_for(std::string_view final_name);
bool is_temp_name(std::string_view name);

// Removes temps of dead writers: names of our form whose lock can be taken and whose host is ours;
// others after 24 h. A temp that holds a replaced old file goes only when the final name has sound
// end records, directory and size (`is_sound`). Returns how many were removed.
Result<size_t> remove_orphans(FileSystem& file_system, const std::string& directory_path,
                              const std::function<bool(File&)>& is_sound);

// Writes a small file (an index, metrics) by the same steps.
Status replace_file(FileSystem& file_system, const std::string& path, ByteView content);

// Step 10: makes `link_name` in the same directory the same file as `existing`: reflink, else a
// hard link to a temp name + rename, else a copy. The same inode is left alone. The caller syncs the
// directory.
Status move_link(Directory& directory, std::string_view existing, std::string_view link_name);

// Step 12: opens, unlinks, and returns the open file so that its blocks are freed elsewhere.
Result<std::unique_ptr<File>> evict_file(Directory& directory, std::string_view name);

}  // namespace tintype
