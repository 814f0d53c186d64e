// The thread on which stagings go on after save_async() has returned.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>

#include "engine/staging.h"

namespace tintype {

// Serves one staging at a time, as the engine has no more. The job may still change storages while
// their copies are to be issued: that is what wait_issued() is for.
class Stager {
 public:
  // Called on the stager's thread when a staging is complete.
  using OnStaged = std::function<void(const std::shared_ptr<Staging>&)>;
  explicit Stager(OnStaged on_staged);
  ~Stager();  // REQUIRES: nothing is staging
  // Once, before anything else. resource_exhausted where no thread is to be had.
  Status start();

  // Issues the copies where that is still to be done, and completes.
  void submit(std::shared_ptr<Staging> staging, bool is_issued);

  // The staging that reads the job's memory on the strength of before_mutation(); null where there
  // is none.
  std::shared_ptr<Staging> guarded() const;
  // True once the staging has issued all copies; false when that took longer.
  bool wait_issued(const Staging& staging, std::chrono::milliseconds timeout) const;

 private:
  void run();
  void work_on(const std::shared_ptr<Staging>& staging);

  const OnStaged on_staged_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  std::shared_ptr<Staging> staging_;  // all below guarded by mutex_; null: idle
  bool is_issued_ = false;            // of staging_
  bool is_guarded_ = false;           // of staging_
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace tintype
