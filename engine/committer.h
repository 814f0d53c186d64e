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
  // on_final runs on the commit thread after a job's snapshot has become final.
  explicit Committer(std::function<void(SaveJob&)> on_final);
  ~Committer();  // finishes every job first

  void enqueue(std::shared_ptr<SaveJob> job);  // any thread; the order of calls is the order of commits

 private:
  void run();
  void complete(SaveJob& job);
  Status commit_files(SaveJob& job);

  std::function<void(SaveJob&)> on_final_;
  FileCloser closer_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::shared_ptr<SaveJob>> jobs_;  // guarded by mutex_
  bool is_stopping_ = false;                   // guarded by mutex_
  std::thread thread_;
};

}  // namespace tintype
