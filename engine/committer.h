// The one thread that makes saves visible, in the order of their calls.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "engine/file_closer.h"
#include "engine/save_job.h"

namespace tintype {

class Committer {
 public:
  // Both run on the commit thread: `account` just before a job's final state becomes visible,
  // `release` after that.
  using Account = std::function<void(SaveJob&, SnapshotState)>;
  Committer(Account account, std::function<void()> release);
  ~Committer();  // finishes every job first

  // Any thread; the order of calls is the order of commits.
  void enqueue(std::shared_ptr<SaveJob> job);

 private:
  void run();
  void complete(SaveJob& job);
  Status commit_files(SaveJob& job);

  const Account account_;
  const std::function<void()> release_;
  FileCloser closer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<SaveJob>> jobs_;  // guarded by mutex_
  bool is_stopping_ = false;                   // guarded by mutex_
  std::thread thread_;
};

}  // namespace tintype
