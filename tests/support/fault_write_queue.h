// Wraps a WriteQueue and makes its kernel misbehave, by a seed or by a rule.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "io/disk/write_queue.h"
#include "tests/support/gate.h"

namespace tintype {

// What becomes of one request. Bytes not passed on are not written.
struct WriteFault {
  enum class Kind { none, short_write, result, refused_submit, held } kind = Kind::none;
  size_t passed_bytes = 0;  // short_write: so many are written and reported
  int64_t result = 0;       // result: reported without writing; refused_submit: -errno of submit()
  std::shared_ptr<Gate> gate = nullptr;  // held: neither written nor reported until this is open
};

class FaultWriteQueue final : public WriteQueue {
 public:
  using Rule = std::function<WriteFault(const WriteRequest& request, uint64_t index)>;

  FaultWriteQueue(std::unique_ptr<WriteQueue> inner, Rule rule)
      : inner_(std::move(inner)), rule_(std::move(rule)) {}

  size_t depth() const override { return inner_->depth(); }
  Status submit(const WriteRequest& request) override;
  Status reap(std::vector<WriteCompletion>& completions,
              std::chrono::milliseconds timeout) override;
  void wake() override { inner_->wake(); }
  Status register_buffers(std::span<const MutableBytes> buffers) override {
    return inner_->register_buffers(buffers);
  }
  std::string name() const override { return inner_->name(); }

  uint64_t fired() const { return fired_; }

 private:
  struct Held {
    WriteRequest request;
    std::shared_ptr<Gate> gate;
  };
  Status submit_released();

  const std::unique_ptr<WriteQueue> inner_;
  const Rule rule_;
  std::vector<WriteCompletion> made_up_;
  std::vector<Held> held_;
  uint64_t index_ = 0;
  uint64_t fired_ = 0;
};

// About `percent` of the requests are cut short at any byte, or answered with EAGAIN or EINTR.
FaultWriteQueue::Rule random_write_faults(uint64_t seed, unsigned percent);

}  // namespace tintype
