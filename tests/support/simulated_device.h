// A device without hardware, for the rules that order copies against a job's streams.
//
// Streams and the queue of copies hold operations in order; a thread takes a random one of those
// that may run and makes one step of it, so that work of different queues interleaves in any legal
// way. Where the engine asks for an order that is not legal, or uses memory that a copy in flight
// still needs, a broken rule is noted.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "engine/device/device.h"

namespace tintype {

class SimulatedDevice final : public Device {
 public:
  SimulatedDevice(std::string name, uint64_t seed);
  ~SimulatedDevice() override;  // REQUIRES: synchronize() was called

  std::string name() const override { return name_; }
  Result<EventPointer> record(StreamHandle stream) override;
  Result<EventPointer> copy(std::span<const CopyPiece> pieces, const EventPointer& after) override;
  bool can_split(ByteView) const override { return false; }
  Status make_wait(StreamHandle stream, const EventPointer& event) override;
  Status gather(std::span<const CopyPiece> pieces, StreamHandle stream) override;
  Status pin(MutableBytes) override { return Status::ok(); }
  void unpin(MutableBytes) override {}

  // --- the job ---
  // Memory whose content has generations; launch() makes the next one.
  void add_region(ByteView region);
  // A kernel that writes the region's next generation, in order with the stream's other work.
  void launch(StreamHandle stream, const std::byte* region, std::function<void()> kernel);
  void synchronize();

  // --- the test ---
  // So many in a hundred copies fail: half at the call, half when their time has come.
  void set_failure_percent(unsigned percent);
  // A copy that is not done reads or writes some of these bytes.
  bool is_in_use(ByteView bytes) const;
  void note_broken_rule(const std::string& rule);
  std::vector<std::string> broken_rules() const;
  uint64_t copied_chunks() const;
  uint64_t failed_copies() const;

  SimulatedDevice(const SimulatedDevice&) = delete;
  SimulatedDevice& operator=(const SimulatedDevice&) = delete;

 private:
  class Event;
  struct Transfer;
  using Generations = std::map<const std::byte*, uint64_t>;  // by a region's first byte
  struct Operation {
    std::function<bool()> may_run;
    std::function<bool()> step;  // true: it is over
  };
  using Queue = std::deque<Operation>;

  void run();
  void add(Queue& queue, Operation operation);  // REQUIRES: mutex_ held
  bool step_random_queue();                     // REQUIRES: mutex_ held; false: none may run
  bool is_idle() const;                         // REQUIRES: mutex_ held
  bool advance(Transfer& transfer);             // REQUIRES: mutex_ held
  void check_generation(const Transfer& transfer, const std::byte* source);
  void check_new(const Transfer& transfer);
  const std::byte* region_of(const std::byte* address) const;
  bool uses(ByteView bytes) const;                // REQUIRES: mutex_ held
  bool is_read_by_started(ByteView bytes) const;  // REQUIRES: mutex_ held

  const std::string name_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::mt19937_64 random_;  // all below guarded by mutex_
  std::map<StreamHandle, Queue> streams_;
  Queue copies_;
  std::vector<std::shared_ptr<Transfer>> in_flight_;  // copies to the host
  std::map<const std::byte*, size_t> regions_;        // size by first byte
  Generations launched_;                              // generations that launch() was asked for
  Generations written_;                               // and that kernels have written
  unsigned failure_percent_ = 0;
  uint64_t copied_chunks_ = 0;
  uint64_t failed_copies_ = 0;
  std::vector<std::string> broken_rules_;
  bool is_stopping_ = false;
  std::thread thread_;
};

}  // namespace tintype
