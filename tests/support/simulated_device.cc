#include "tests/support/simulated_device.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "io/archive/crc32.h"

namespace tintype {
namespace {

constexpr size_t kChunkBytes = 4 << 10;
constexpr auto kIdlePeriod = std::chrono::microseconds(200);  // events of other devices may come
constexpr std::byte kPoison{0xDB};

bool overlaps(ByteView a, ByteView b) {
  return !a.empty() && !b.empty() && a.data() < b.data() + b.size() &&
         b.data() < a.data() + a.size();
}

Status failure(const std::string& device) {
  return {StatusCode::io_error, device + ": the copy failed, as the test asked for"};
}

}  // namespace

class SimulatedDevice::Event final : public DeviceEvent {
 public:
  explicit Event(Generations generations = {}) : generations_(std::move(generations)) {}

  bool is_done() const override {
    std::lock_guard lock(mutex_);
    return is_done_;
  }
  Status wait() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return is_done_; });
    return status_;
  }
  void finish(Status status) {
    std::lock_guard lock(mutex_);
    is_done_ = true;
    status_ = std::move(status);
    changed_.notify_all();
  }
  // What the regions hold once all work before this point is done.
  const Generations& generations() const { return generations_; }

 private:
  const Generations generations_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool is_done_ = false;
  Status status_;
};

// Bytes on their way: read chunk by chunk, and all written when the last was read.
struct SimulatedDevice::Transfer {
  std::vector<CopyPiece> pieces;
  std::vector<ByteVector> read;
  size_t piece = 0;  // the next chunk's
  std::shared_ptr<Event> after;
  std::shared_ptr<Event> event;
  bool is_failing = false;

  void deliver() {
    for (size_t i = 0; i < pieces.size(); ++i) {
      if (read[i].empty()) continue;
      std::memcpy(pieces[i].target, read[i].data(), read[i].size());
      if (pieces[i].crc != nullptr) *pieces[i].crc = crc32(0, read[i]);
    }
  }
};

SimulatedDevice::SimulatedDevice(std::string name, uint64_t seed)
    : name_(std::move(name)), random_(seed) {
  thread_ = std::thread([this] { run(); });
}

SimulatedDevice::~SimulatedDevice() {
  {
    std::lock_guard lock(mutex_);
    TINTYPE_CHECK(is_idle());
    is_stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void SimulatedDevice::add(Queue& queue, Operation operation) {
  queue.push_back(std::move(operation));
  changed_.notify_all();
}

Result<EventPointer> SimulatedDevice::record(StreamHandle stream) {
  std::lock_guard lock(mutex_);
  auto event = std::make_shared<Event>(launched_);
  add(streams_[stream], {.may_run = [] { return true; },
                         .step =
                             [event] {
                               event->finish(Status::ok());
                               return true;
                             }});
  return EventPointer(event);
}

Status SimulatedDevice::make_wait(StreamHandle stream, const EventPointer& event) {
  std::lock_guard lock(mutex_);
  add(streams_[stream], {.may_run = [event] { return event == nullptr || event->is_done(); },
                         .step = [] { return true; }});
  return Status::ok();
}

Result<EventPointer> SimulatedDevice::copy(std::span<const CopyPiece> pieces,
                                           const EventPointer& after) {
  std::lock_guard lock(mutex_);
  const uint64_t luck = random_() % 200;
  if (luck < failure_percent_) {
    ++failed_copies_;
    return failure(name_);
  }
  auto transfer = std::make_shared<Transfer>();
  transfer->pieces.assign(pieces.begin(), pieces.end());
  transfer->read.resize(pieces.size());
  transfer->after = std::dynamic_pointer_cast<Event>(after);
  transfer->event = std::make_shared<Event>();
  transfer->is_failing = luck < 2 * failure_percent_;
  check_new(*transfer);
  for (const CopyPiece& piece : pieces) {
    std::fill_n(piece.target, piece.size_bytes, kPoison);
  }
  in_flight_.push_back(transfer);
  add(copies_, {.may_run = [after] { return after == nullptr || after->is_done(); },
                .step = [this, transfer] { return advance(*transfer); }});
  return EventPointer(transfer->event);
}

void SimulatedDevice::check_new(const Transfer& transfer) {
  if (transfer.after == nullptr) broken_rules_.push_back("a copy has no point to start from");
  for (const CopyPiece& piece : transfer.pieces) {
    for (const auto& other : in_flight_) {
      for (const CopyPiece& busy : other->pieces) {
        if (overlaps({piece.target, piece.size_bytes}, {busy.target, busy.size_bytes})) {
          broken_rules_.push_back("memory is used again while a copy into it is in flight");
        }
      }
    }
  }
}

// One chunk, or the end.
bool SimulatedDevice::advance(Transfer& transfer) {
  if (transfer.piece < transfer.pieces.size()) {
    const CopyPiece& piece = transfer.pieces[transfer.piece];
    ByteVector& read = transfer.read[transfer.piece];
    const size_t size = std::min<size_t>(kChunkBytes, piece.size_bytes - read.size());
    if (size > 0) check_generation(transfer, piece.source + read.size());
    read.insert(read.end(), piece.source + read.size(), piece.source + read.size() + size);
    ++copied_chunks_;
    if (read.size() == piece.size_bytes) ++transfer.piece;
    return false;
  }
  if (transfer.is_failing) {
    ++failed_copies_;
  } else {
    transfer.deliver();
  }
  std::erase_if(in_flight_, [&](const auto& other) { return other.get() == &transfer; });
  transfer.event->finish(transfer.is_failing ? failure(name_) : Status::ok());
  return true;
}

void SimulatedDevice::check_generation(const Transfer& transfer, const std::byte* source) {
  const std::byte* region = region_of(source);
  if (region == nullptr || transfer.after == nullptr) return;  // a slab
  const auto& expected = transfer.after->generations();
  const auto wanted = expected.contains(region) ? expected.at(region) : 0;
  if (written_[region] < wanted) broken_rules_.push_back("read before the point of the save");
  if (written_[region] > wanted) broken_rules_.push_back("read after a change that had to wait");
}

Status SimulatedDevice::gather(std::span<const CopyPiece> pieces, StreamHandle stream) {
  std::lock_guard lock(mutex_);
  const std::vector<CopyPiece> kept(pieces.begin(), pieces.end());
  add(streams_[stream], {.may_run = [] { return true; },
                         .step =
                             [this, kept] {
                               for (const CopyPiece& piece : kept) {
                                 if (is_read_by_started({piece.target, piece.size_bytes})) {
                                   broken_rules_.push_back("slab refilled while it is read");
                                 }
                                 std::copy_n(piece.source, piece.size_bytes, piece.target);
                               }
                               return true;
                             }});
  return Status::ok();
}

bool SimulatedDevice::is_read_by_started(ByteView bytes) const {
  return std::any_of(in_flight_.begin(), in_flight_.end(), [&](const auto& transfer) {
    if (transfer->after != nullptr && !transfer->after->is_done()) return false;
    return std::any_of(transfer->pieces.begin(), transfer->pieces.end(), [&](const auto& piece) {
      return overlaps(bytes, {piece.source, piece.size_bytes});
    });
  });
}

void SimulatedDevice::add_region(ByteView region) {
  std::lock_guard lock(mutex_);
  if (!region.empty()) regions_[region.data()] = region.size();
}

const std::byte* SimulatedDevice::region_of(const std::byte* address) const {
  auto next = regions_.upper_bound(address);
  if (next == regions_.begin()) return nullptr;
  --next;
  return address < next->first + next->second ? next->first : nullptr;
}

void SimulatedDevice::launch(StreamHandle stream, const std::byte* region,
                             std::function<void()> kernel) {
  std::lock_guard lock(mutex_);
  ++launched_[region];
  add(streams_[stream], {.may_run = [] { return true; },
                         .step =
                             [this, region, kernel = std::move(kernel)] {
                               kernel();
                               ++written_[region];
                               return true;
                             }});
}

bool SimulatedDevice::is_idle() const {
  return copies_.empty() && std::all_of(streams_.begin(), streams_.end(),
                                        [](const auto& stream) { return stream.second.empty(); });
}

void SimulatedDevice::synchronize() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return is_idle(); });
}

void SimulatedDevice::run() {
  std::unique_lock lock(mutex_);
  while (!is_stopping_) {
    if (is_idle()) {
      changed_.wait(lock, [&] { return is_stopping_ || !is_idle(); });
    } else if (!step_random_queue() || random_() % 64 == 0) {
      changed_.wait_for(lock, kIdlePeriod);  // also lets time pass, and others take the lock
    }
  }
}

bool SimulatedDevice::step_random_queue() {
  std::vector<Queue*> ready;
  const auto consider = [&](Queue& queue) {
    if (!queue.empty() && queue.front().may_run()) ready.push_back(&queue);
  };
  for (auto& [handle, queue] : streams_) consider(queue);
  consider(copies_);
  if (ready.empty()) return false;
  Queue& queue = *ready[random_() % ready.size()];
  if (queue.front().step()) queue.pop_front();
  if (is_idle()) changed_.notify_all();
  return true;
}

void SimulatedDevice::set_failure_percent(unsigned percent) {
  std::lock_guard lock(mutex_);
  failure_percent_ = percent;
}

bool SimulatedDevice::uses(ByteView bytes) const {
  return std::any_of(in_flight_.begin(), in_flight_.end(), [&](const auto& transfer) {
    return std::any_of(transfer->pieces.begin(), transfer->pieces.end(), [&](const auto& piece) {
      return overlaps(bytes, {piece.source, piece.size_bytes}) ||
             overlaps(bytes, {piece.target, piece.size_bytes});
    });
  });
}

bool SimulatedDevice::is_in_use(ByteView bytes) const {
  std::lock_guard lock(mutex_);
  return uses(bytes);
}

void SimulatedDevice::note_broken_rule(const std::string& rule) {
  std::lock_guard lock(mutex_);
  broken_rules_.push_back(rule);
}

std::vector<std::string> SimulatedDevice::broken_rules() const {
  std::lock_guard lock(mutex_);
  return broken_rules_;
}

uint64_t SimulatedDevice::copied_chunks() const {
  std::lock_guard lock(mutex_);
  return copied_chunks_;
}

uint64_t SimulatedDevice::failed_copies() const {
  std::lock_guard lock(mutex_);
  return failed_copies_;
}

}  // namespace tintype
