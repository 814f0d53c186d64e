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
#include "io/disk/links.h"
#include "io/disk/orphans.h"

namespace tintype {

struct AtomicFileOptions {
  bool is_symlink_followed = true;
  bool is_named_temp = false;  // skip O_TMPFILE (tests, and file systems that lie about it)
  bool may_replace = true;     // false: already_exists (EEXIST) where something stands, at any step
  // False: commit() leaves step 9a to the caller, who syncs the directory once for several files.
  bool is_directory_synced = true;
  // Step 1, where there is too little room: may wait for what others free. Then it is looked again.
  std::function<void()> wait_for_room = {};
  // For the removal of orphans, see orphans.h.
  SoundnessCheck is_sound = {};
};

class AtomicFile {
 public:
  // Step 0 (nothing touched yet): resolves the path and refuses a target that is neither a regular
  // file nor a symlink to one or to nothing. `directories` are opened through `file_system`.
  static Result<std::unique_ptr<AtomicFile>> open(FileSystem& file_system, const std::string& path,
                                                  AtomicFileOptions options = {});
  // Abandons what was not committed: closes and removes the temp.
  ~AtomicFile();

  // Steps 1 to 3. Also removes orphaned temps on this process's first use of the directory. Where
  // the size is only a bound, less room than that, or a lower limit of files' sizes, is no error.
  Status begin(uint64_t planned_bytes, bool is_bound = false);
  // REQUIRES: begin() succeeded.
  File& file();

  using Verify = std::function<Status(File&)>;
  struct CommitHooks {
    Verify verify;                      // step 7
    std::function<bool()> may_pass_8b;  // false: cancelled, stop before the rename
  };
  // Steps 5 to 9b. REQUIRES: begin() succeeded and no write is in flight. After a failure the temp
  // is gone and this object is of no more use.
  Status commit(uint64_t exact_bytes, const CommitHooks& hooks = {});

  // The parts of commit(), for files that become visible together or not at all: seal() each, then
  // expose() each, then settle() each. Where one fails, the others are abandoned by their
  // destructor or, once exposed, put back by retract().
  Status seal(uint64_t exact_bytes, const Verify& verify = {});  // steps 5 to 8a
  Status expose();                                               // steps 8b and 9a
  void settle();                                                 // step 9b
  // The state before expose(). An error says that the new file stands, or may after a power cut.
  Status retract();

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

// Writes a small file (an index, metrics) by the same steps.
Status replace_file(FileSystem& file_system, const std::string& path, ByteView content,
                    AtomicFileOptions options = {.is_symlink_followed = false});

}  // namespace tintype
