// Closes files on a thread of its own: the last close of an unlinked file frees its blocks, which
// takes 130 to 240 ms per GiB on ext4 with discard, too long for the commit path.
#pragma once

#include <chrono>
#include <memory>
#include <thread>

#include "io/disk/file_system.h"

namespace tintype {

class FileCloser {
 public:
  explicit FileCloser(std::chrono::milliseconds patience = std::chrono::seconds(60));
  // Closes what is left. What takes longer than `patience` is left to the thread: on a disk that
  // hangs a close may never return, and whoever ends must not wait for it.
  ~FileCloser();

  // Any thread; null is ignored. Where kMaxWaiting files wait already, the caller closes its own:
  // a job that replaces files faster than their disk frees them must not run out of descriptors,
  // nor keep ever more freed bytes from the disk.
  void close(std::unique_ptr<File> file);

  static constexpr size_t kMaxWaiting = 8;

  // Waits until no file of any closer of this process is left, at most for `patience`. For who
  // lacks the room on the disk that they free. Any thread.
  static void wait_for_all(std::chrono::milliseconds patience);

  FileCloser(const FileCloser&) = delete;
  FileCloser& operator=(const FileCloser&) = delete;

 private:
  struct Queue;
  static void run(Queue& queue);

  const std::chrono::milliseconds patience_;
  const std::shared_ptr<Queue> queue_;  // the thread's as well, which may live longer
  std::thread thread_;
};

}  // namespace tintype
