// What a forked child must not inherit: open descriptors with their locks, and what this process
// remembers of directories. A child's copies are closed right after fork(); closing drops a
// reference only, so the parent's locks stay.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>

namespace tintype {

// Owns one descriptor and closes it, in this process and in forked children. The number becomes -1
// in a child, so that every use of it there fails with EBADF.
class Descriptor {
 public:
  // Calls `open`, which returns a descriptor or -1 with errno set, such that a fork() at the same
  // time sees either none or one that it closes.
  explicit Descriptor(const std::function<int()>& open);
  ~Descriptor();

  int number() const { return number_; }
  bool is_open() const { return number_ >= 0; }
  // Gives up ownership right before the caller closes the number.
  int release();
  // The errno of a failed open.
  int open_error() const { return open_error_; }

  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

 private:
  friend struct ProcessRegistry;
  void close_in_child();

  int number_ = -1;
  int open_error_ = 0;
  // While the parent closes, another part of the program may already own the same number: a child
  // closes it only if it still is the same file.
  bool is_closing_ = false;
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

// True the first time this process asks about this directory.
bool is_first_use_of_directory(uint64_t device, uint64_t inode);

}  // namespace tintype
