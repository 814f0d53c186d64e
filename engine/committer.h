// The one thread that makes saves visible, in the order of their calls. A save that failed or was
// cancelled makes nothing visible: it ends as soon as its work has, also before earlier ones.
#pragma once

#include <functional>
#include <memory>
#include <thread>

#include "engine/file_closer.h"
#include "engine/save_job.h"

namespace tintype {

class Committer {
 public:
  // Both run on the commit thread: `account` just before a job's final state becomes visible,
  // `on_finished` after that and after the snapshot's callbacks, told whether the job had been
  // given up: then it was accounted for by whoever did that.
  using Account = std::function<void(SaveJob&, SnapshotState)>;
  using OnFinished = std::function<void(SaveJob& job, bool was_given_up)>;
  Committer(Account account, OnFinished on_finished);
  ~Committer();  // finishes every job first
  // Once, before anything else. resource_exhausted where no thread is to be had.
  Status start();

  // Any thread; the order of calls is the order of commits.
  void enqueue(std::shared_ptr<SaveJob> job);

 private:
  struct Inbox;

  void run();
  std::shared_ptr<SaveJob> take_ready();
  void complete(SaveJob& job);
  void publish(SaveJob& job);
  Status commit_files(SaveJob& job);
  Status seal_file(SaveJob& job, size_t index);
  Status expose_files(SaveJob& job);

  const Account account_;
  const OnFinished on_finished_;
  FileCloser closer_;
  const std::shared_ptr<Inbox> inbox_;  // the snapshots ring it too, and may live longer
  std::thread thread_;
};

}  // namespace tintype
