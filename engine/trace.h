// Where the time of each save went, as a file for chrome://tracing and ui.perfetto.dev.
//
// The format is Chrome's "Trace Event Format", JSON array form: complete events (one lane a thread,
// they nest) and asynchronous events (what overlaps: writes in flight, whole saves).
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>

#include "base/status.h"
#include "io/disk/file_system.h"
#include "kernels/nvtx_range.h"

namespace tintype {

// Thread-safe. The file is whole JSON after every flush; a write that fails ends the trace with a
// warning and never a save.
class Trace {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // Replaces what stands at `path`.
  static Result<std::unique_ptr<Trace>> create(const std::string& path);
  ~Trace();  // flushes

  // Time that the calling thread spent. Names are plain words; `save` numbers the engine's saves.
  void add(std::string_view name, Time start, Time end, uint64_t save);
  // Time in which something was under way on no thread. `path` may be empty.
  void add_overlapping(std::string_view name, Time start, Time end, uint64_t save,
                       std::string_view path = {});
  void flush();

  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

 private:
  explicit Trace(std::unique_ptr<File> file);
  void name_lane(pid_t thread);           // REQUIRES: mutex_ held
  void append(const std::string& event);  // REQUIRES: mutex_ held
  void write_buffer();                    // REQUIRES: mutex_ held
  double microseconds(Time time) const;

  const Time origin_ = std::chrono::steady_clock::now();
  std::mutex mutex_;
  std::unique_ptr<File> file_;  // all below guarded by mutex_; null after a failed write
  std::string buffer_;          // events not written yet
  uint64_t written_bytes_ = 0;  // without the array's end, which the next flush overwrites
  uint64_t next_id_ = 1;        // of overlapping events
  std::set<pid_t> lanes_;       // threads that have a name in the file
};

// A save's place in its engine's trace; without one, nothing is recorded.
struct TraceContext {
  Trace* trace = nullptr;
  uint64_t save = 0;

  void add(std::string_view name, Trace::Time start, Trace::Time end) const {
    if (trace != nullptr) trace->add(name, start, end, save);
  }
  void add_overlapping(std::string_view name, Trace::Time start, Trace::Time end,
                       std::string_view path = {}) const {
    if (trace != nullptr) trace->add_overlapping(name, start, end, save, path);
  }
};

// Measures a stage on the calling thread: for the report, for the trace if there is one, and for
// tools that listen to NVTX. Stages of a thread end in the reverse order of their beginnings.
class StageTimer {
 public:
  StageTimer(const TraceContext& context, const char* name)
      : context_(context), name_(name), start_(std::chrono::steady_clock::now()) {
    begin_nvtx_range(name);
  }
  ~StageTimer() {
    if (name_ != nullptr) stop_ns();
  }

  // Ends the stage. REQUIRES: called at most once.
  uint64_t stop_ns() {
    const auto end = std::chrono::steady_clock::now();
    end_nvtx_range();
    context_.add(name_, start_, end);
    name_ = nullptr;
    return static_cast<uint64_t>(std::chrono::nanoseconds(end - start_).count());
  }

  StageTimer(const StageTimer&) = delete;
  StageTimer& operator=(const StageTimer&) = delete;

 private:
  const TraceContext& context_;
  const char* name_;
  const Trace::Time start_;
};

}  // namespace tintype
