// Staging: the job's storages are copied into slots by several threads, in file order.
#pragma once

#include <atomic>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine/engine.h"
#include "engine/save_job.h"
#include "engine/slot_pool.h"
#include "engine/writer.h"

namespace tintype {

// Threads that run one function together with the caller.
class CopyCrew {
 public:
  explicit CopyCrew(unsigned helper_count);
  ~CopyCrew();

  // Runs body on every helper and on the caller; returns when all have returned. `while_waiting` is
  // called on the caller's thread at least every 50 ms once the caller's own part is done.
  void run(const std::function<void(bool is_caller)>& body,
           const std::function<void()>& while_waiting);
  unsigned size() const { return static_cast<unsigned>(helpers_.size()) + 1; }

 private:
  void help();

  std::mutex mutex_;
  std::condition_variable started_;
  std::condition_variable finished_;
  const std::function<void(bool)>* body_ = nullptr;  // all below guarded by mutex_
  uint64_t round_ = 0;
  unsigned running_ = 0;
  bool is_stopping_ = false;
  std::vector<std::thread> helpers_;
};

// Stages one job: returns when every extent was handed to the writer, or the job is doomed. The
// snapshot is cancelled when the interrupt check says so (then true is returned).
// Thread rule: one call at a time per crew.
bool stage(const std::shared_ptr<SaveJob>& job, SlotPool& pool, Writer& writer, CopyCrew& crew,
           const InterruptCheck& is_interrupted);

}  // namespace tintype
