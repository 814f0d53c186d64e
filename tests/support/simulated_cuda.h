// CUDA without a GPU: streams whose work a thread does in any legal order, kernels by their host
// twins, device memory that is the host's. What the real one would not forgive is noted as a broken
// rule; test_simulated_cuda.cc breaks each.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "kernels/cuda_api.h"

namespace tintype {

class SimulatedCuda final : public CudaApi {
 public:
  SimulatedCuda(int device_count, uint64_t seed);
  ~SimulatedCuda() override;  // does what is left

  Result<int> device_count() override;
  Status enter(int device) override;
  void leave() override;
  Status load_kernels() override;
  Result<Stream> create_stream() override;
  Result<Event> create_event() override;
  Status record(Event event, Stream stream) override;
  Status make_wait(Stream stream, Event event) override;
  Result<bool> is_capturing(Stream stream) override;
  Status synchronize(Stream stream) override;
  Status copy(std::byte* target, const std::byte* source, uint64_t size_bytes,
              Stream stream) override;
  Status launch_gather(const PieceTable& table, uint32_t blocks_max, Stream stream) override;
  Status launch_crc32(const PieceTable& table, uint32_t* chunk_crcs, uint32_t blocks_max,
                      Stream stream) override;
  Result<MutableBytes> allocate_on_host(uint64_t size_bytes) override;
  Result<MutableBytes> allocate_on_device(uint64_t size_bytes) override;
  Status pin(MutableBytes memory) override;
  void unpin(MutableBytes memory) override;
  bool is_done(Event event) override;
  Status wait(Event event) override;
  void destroy_event(Event event) override;

  // --- the job ---
  // Memory of a device, as a job has it. REQUIRES: it lives as long as this.
  void add_device_memory(ByteView memory);
  // Work on a stream of the job.
  void run_on(Stream stream, std::function<void()> work);
  void set_capturing(Stream stream, bool is_capturing);
  // Lets no stream go on, or all again: work that is in flight stays there.
  void hold(bool is_held);
  // The same for kernels alone, and what stands behind them.
  void hold_kernels(bool are_held);

  // --- the test ---
  // The call with this number from now on (1 is the next) that gives a stream work, or allocates
  // host memory, fails; later ones do again. 0: none.
  void fail_call(uint64_t number);
  bool has_failed() const;
  // From now on work that is done says that it failed, as CUDA does after a bad access.
  void break_device(bool is_broken = true);
  void refuse_pinning(bool is_refused);
  // As if the job had taken all of the devices' memory.
  void refuse_device_memory(bool is_refused);
  // As if this were a device of another kind than the build has kernels for.
  void lack_kernels();
  uint64_t kernel_loads() const;  // tried
  // REQUIRES: no other thread is between enter() and leave(), or it is noted.
  std::vector<std::string> broken_rules() const;
  uint64_t pinned_regions() const;
  uint64_t allocations() const;
  uint64_t allocated_bytes() const;
  uint64_t tables_on_host() const;      // launches that read theirs from there
  uint64_t copies_by_engine() const;    // to host memory that is not a launch's own
  uint64_t longest_copy_bytes() const;  // of these
  uint64_t pinnings_asked() const;
  uint64_t kernels() const;
  uint64_t split_bytes() const;  // that kernels sorted into planes

  SimulatedCuda(const SimulatedCuda&) = delete;
  SimulatedCuda& operator=(const SimulatedCuda&) = delete;

 private:
  struct EventState {
    int device = 0;
    uint64_t recorded = 0;  // how often; 0: done from the start
    uint64_t reached = 0;
    bool is_destroyed = false;
  };
  struct Operation {
    std::function<bool()> may_run;
    std::function<void()> run;
  };

  void work();
  bool step();  // REQUIRES: mutex_ held; false: none may run
  Status add(
      Stream stream, std::function<void()> run,
      std::function<bool()> may_run = [] { return true; });  // REQUIRES: mutex_ held
  Status take_luck(const char* what);                        // REQUIRES: mutex_ held
  void wait_until(std::unique_lock<std::mutex>& lock, const std::function<bool()>& is_true);
  bool is_in(const std::map<const std::byte*, uint64_t>& ranges, ByteView bytes) const;
  void check_reached(const PieceTable& table, bool has_targets);  // REQUIRES: mutex_ held
  void check_target(const CopyPiece& piece);                      // REQUIRES: mutex_ held
  // Notes where the calling thread is on no device, or on another than `device`. The streams and
  // the memory of the job are of any. REQUIRES for all: mutex_ held
  void check_entered(const char* what);
  void check_device(const char* what, int device);
  void check_stream(const char* what, Stream stream);
  Status start_launch(const PieceTable& table, uint32_t blocks_max, Stream stream);
  EventState& event(const char* what, Event event);
  std::optional<int> current_device() const;
  void note(const std::string& rule);  // REQUIRES: mutex_ held
  // REQUIRES: mutex_ held
  MutableBytes allocate(uint64_t size_bytes, std::map<const std::byte*, uint64_t>& ranges);

  const int device_count_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::mt19937_64 random_;                               // all below guarded by mutex_
  std::map<std::thread::id, std::vector<int>> entered_;  // by enter(), the current one last
  std::map<Stream, int> devices_of_streams_;             // of create_stream()
  std::map<const std::byte*, int> devices_of_memory_;    // of allocate_on_device()
  std::map<Stream, std::deque<Operation>> streams_;
  std::map<Event, EventState> events_;
  uintptr_t next_handle_ = 1000;
  std::map<const std::byte*, uint64_t> device_memory_;
  std::map<const std::byte*, uint64_t> host_memory_;  // of allocate_on_host()
  std::map<const std::byte*, uint64_t> pinned_;
  std::vector<std::unique_ptr<std::byte[]>> allocated_;
  uint64_t allocated_bytes_ = 0;
  uint64_t tables_on_host_ = 0;
  std::set<Stream> capturing_;
  uint64_t call_to_fail_ = 0;
  bool has_failed_ = false;
  bool is_broken_ = false;
  bool is_held_ = false;
  bool are_kernels_held_ = false;
  bool is_pinning_refused_ = false;
  bool is_device_memory_refused_ = false;
  bool is_stopping_ = false;
  uint64_t copies_by_engine_ = 0;
  uint64_t longest_copy_bytes_ = 0;
  uint64_t pinnings_asked_ = 0;
  uint64_t kernels_ = 0;
  uint64_t split_bytes_ = 0;
  bool are_kernels_lacking_ = false;
  uint64_t kernel_loads_ = 0;
  std::vector<std::string> broken_rules_;
  std::thread thread_;
};

}  // namespace tintype
