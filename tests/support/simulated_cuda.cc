#include "tests/support/simulated_cuda.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <iterator>
#include <utility>

#include "tests/support/host_twins.h"

namespace tintype {
namespace {

constexpr auto kPeriod = std::chrono::microseconds(100);
thread_local int entered = 0;  // how deep

}  // namespace

SimulatedCuda::SimulatedCuda(int device_count, uint64_t seed)
    : device_count_(device_count), random_(seed) {
  thread_ = std::thread([this] { work(); });
}

SimulatedCuda::~SimulatedCuda() {
  {
    std::lock_guard lock(mutex_);
    is_stopping_ = true;
    is_held_ = false;
    are_kernels_held_ = false;
  }
  changed_.notify_all();
  thread_.join();
}

void SimulatedCuda::note(const std::string& rule) { broken_rules_.push_back(rule); }

Result<int> SimulatedCuda::device_count() {
  if (device_count_ == 0) return Status::unsupported("simulated: there is no driver");
  return device_count_;
}

Status SimulatedCuda::enter(int device) {
  if (device >= device_count_) return Status::unsupported("simulated: no such device");
  ++entered;
  return Status::ok();
}

void SimulatedCuda::leave() { --entered; }

Status SimulatedCuda::load_kernels() {
  std::lock_guard lock(mutex_);
  check_entered("load kernels");
  ++kernel_loads_;
  if (are_kernels_lacking_) return Status::unsupported("simulated: no code for this device");
  return Status::ok();
}

Status SimulatedCuda::take_luck(const char* what) {
  check_entered(what);
  if (call_to_fail_ == 0 || --call_to_fail_ != 0) return Status::ok();
  has_failed_ = true;
  return {StatusCode::io_error, std::string("simulated: ") + what + " failed"};
}

void SimulatedCuda::check_entered(const char* what) {
  if (entered == 0) note(std::string(what) + " on no device");
}

Status SimulatedCuda::add(Stream stream, std::function<void()> run, std::function<bool()> may_run) {
  if (capturing_.contains(stream)) note("work for a stream that captures a graph");
  streams_[stream].push_back({std::move(may_run), std::move(run)});
  changed_.notify_all();
  return Status::ok();
}

Result<CudaApi::Stream> SimulatedCuda::create_stream() {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("create a stream"));
  return ++next_handle_;
}

Result<CudaApi::Event> SimulatedCuda::create_event() {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("create an event"));
  events_[++next_handle_] = {};
  return next_handle_;
}

Status SimulatedCuda::record(Event event, Stream stream) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("record an event"));
  const uint64_t count = ++events_.at(event).recorded;
  return add(stream, [this, event, count] { events_.at(event).reached = count; });
}

Status SimulatedCuda::make_wait(Stream stream, Event event) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("make a stream wait"));
  const uint64_t count = events_.at(event).recorded;
  return add(
      stream, [] {}, [this, event, count] { return events_.at(event).reached >= count; });
}

Result<bool> SimulatedCuda::is_capturing(Stream stream) {
  std::lock_guard lock(mutex_);
  return capturing_.contains(stream);
}

Status SimulatedCuda::synchronize(Stream stream) {
  std::unique_lock lock(mutex_);
  check_entered("wait for a stream");
  wait_until(lock, [&] { return streams_[stream].empty(); });
  return Status::ok();
}

Status SimulatedCuda::copy(std::byte* target, const std::byte* source, uint64_t size_bytes,
                           Stream stream) {
  std::unique_lock lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("copy"));
  const bool is_to_device = is_in(device_memory_, {target, size_bytes});
  if (is_to_device == is_in(device_memory_, {source, size_bytes})) {
    note("a copy that is neither to the device nor from it");
  }
  if (!is_to_device) ++copies_by_engine_;
  const ByteView host{is_to_device ? source : target, size_bytes};
  const bool is_asynchronous = is_in(pinned_, host) || is_in(host_memory_, host);
  TINTYPE_RETURN_IF_ERROR(add(stream, [=] { std::memcpy(target, source, size_bytes); }));
  if (!is_asynchronous) wait_until(lock, [&] { return streams_[stream].empty(); });
  return Status::ok();
}

Status SimulatedCuda::launch_gather(const PieceTable& table, uint32_t blocks_max, Stream stream) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("launch"));
  if (table.chunk_count == 0 || blocks_max == 0) note("an empty launch");
  ++kernels_;
  const auto run = [this, table] {
    check_reached(table, true);
    gather_on_host(table);
  };
  return add(stream, run, [this] { return !are_kernels_held_; });
}

Status SimulatedCuda::launch_crc32(const PieceTable& table, uint32_t* chunk_crcs,
                                   uint32_t blocks_max, Stream stream) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("launch"));
  if (table.chunk_count == 0 || blocks_max == 0) note("an empty launch");
  ++kernels_;
  const auto run = [this, table, chunk_crcs] {
    check_reached(table, false);
    crc32_on_host(table, chunk_crcs);
  };
  return add(stream, run, [this] { return !are_kernels_held_; });
}

// What the kernel reads and writes is the device's, or pinned.
void SimulatedCuda::check_reached(const PieceTable& table, bool has_targets) {
  const uint64_t table_bytes = table.piece_count * sizeof(CopyPiece);
  const auto* first = reinterpret_cast<const std::byte*>(table.pieces);
  const bool is_on_host = is_in(host_memory_, {first, table_bytes});
  if (is_on_host) ++tables_on_host_;
  if (!is_on_host && !is_in(device_memory_, {first, table_bytes})) note("a table elsewhere");
  for (uint32_t i = 0; i < table.piece_count; ++i) {
    const CopyPiece& piece = table.pieces[i];
    const ByteView target{piece.target, piece.size_bytes};
    if (!is_in(device_memory_, {piece.source, piece.size_bytes})) note("a source elsewhere");
    if (has_targets && !is_in(device_memory_, target) && !is_in(pinned_, target) &&
        !is_in(host_memory_, target)) {
      note("a kernel writes to memory that is not pinned");
    }
  }
}

bool SimulatedCuda::is_in(const std::map<const std::byte*, uint64_t>& ranges,
                          ByteView bytes) const {
  auto next = ranges.upper_bound(bytes.data());
  if (next == ranges.begin()) return bytes.empty();
  const auto& [first, size_bytes] = *std::prev(next);
  return bytes.data() + bytes.size() <= first + size_bytes;
}

MutableBytes SimulatedCuda::allocate(uint64_t size_bytes,
                                     std::map<const std::byte*, uint64_t>& ranges) {
  allocated_bytes_ += size_bytes;
  allocated_.push_back(std::make_unique<std::byte[]>(size_bytes));
  ranges[allocated_.back().get()] = size_bytes;
  return {allocated_.back().get(), size_bytes};
}

Result<MutableBytes> SimulatedCuda::allocate_on_host(uint64_t size_bytes) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("allocate"));
  return allocate(size_bytes, host_memory_);
}

Result<MutableBytes> SimulatedCuda::allocate_on_device(uint64_t size_bytes) {
  std::lock_guard lock(mutex_);
  check_entered("allocate on the device");
  if (is_device_memory_refused_) {
    return Status(StatusCode::resource_exhausted, "simulated: device memory refused");
  }
  return allocate(size_bytes, device_memory_);
}

Status SimulatedCuda::pin(MutableBytes memory) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("pin"));
  if (is_pinning_refused_) return {StatusCode::resource_exhausted, "simulated: pinning refused"};
  if (!pinned_.emplace(memory.data(), memory.size()).second) note("pinned twice");
  return Status::ok();
}

void SimulatedCuda::unpin(MutableBytes memory) {
  std::lock_guard lock(mutex_);
  check_entered("unpin");
  if (pinned_.erase(memory.data()) == 0) note("unpinned without being pinned");
}

bool SimulatedCuda::is_done(Event event) {
  std::lock_guard lock(mutex_);
  check_entered("look at an event");
  return events_.at(event).reached >= events_.at(event).recorded;
}

Status SimulatedCuda::wait(Event event) {
  std::unique_lock lock(mutex_);
  check_entered("wait for an event");
  wait_until(lock, [&] { return events_.at(event).reached >= events_.at(event).recorded; });
  if (is_broken_) return {StatusCode::io_error, "simulated: the device failed"};
  return Status::ok();
}

void SimulatedCuda::destroy_event(Event event) {
  std::lock_guard lock(mutex_);
  check_entered("destroy an event");
  if (std::exchange(events_.at(event).is_destroyed, true)) note("an event destroyed twice");
}

void SimulatedCuda::add_device_memory(ByteView memory) {
  std::lock_guard lock(mutex_);
  device_memory_[memory.data()] = memory.size();
}

void SimulatedCuda::run_on(Stream stream, std::function<void()> work) {
  std::lock_guard lock(mutex_);
  static_cast<void>(add(stream, std::move(work)));
}

void SimulatedCuda::set_capturing(Stream stream, bool is_capturing) {
  std::lock_guard lock(mutex_);
  is_capturing ? static_cast<void>(capturing_.insert(stream))
               : static_cast<void>(capturing_.erase(stream));
}

void SimulatedCuda::hold(bool is_held) {
  std::lock_guard lock(mutex_);
  is_held_ = is_held;
  changed_.notify_all();
}

void SimulatedCuda::hold_kernels(bool are_held) {
  std::lock_guard lock(mutex_);
  are_kernels_held_ = are_held;
  changed_.notify_all();
}

void SimulatedCuda::wait_until(std::unique_lock<std::mutex>& lock,
                               const std::function<bool()>& is_true) {
  changed_.wait(lock, is_true);
}

void SimulatedCuda::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (!is_held_ && step()) {
      changed_.notify_all();
      if (random_() % 4 == 0) {  // lets others have the lock
        lock.unlock();
        std::this_thread::yield();
        lock.lock();
      }
      continue;
    }
    if (is_stopping_) return;
    changed_.wait_for(lock, kPeriod);
  }
}

bool SimulatedCuda::step() {
  std::vector<std::deque<Operation>*> ready;
  for (auto& [handle, queue] : streams_) {
    if (!queue.empty() && queue.front().may_run()) ready.push_back(&queue);
  }
  if (ready.empty()) return false;
  std::deque<Operation>& queue = *ready[random_() % ready.size()];
  queue.front().run();
  queue.pop_front();
  return true;
}

void SimulatedCuda::fail_call(uint64_t number) {
  std::lock_guard lock(mutex_);
  call_to_fail_ = number;
  has_failed_ = false;
}

bool SimulatedCuda::has_failed() const {
  std::lock_guard lock(mutex_);
  return has_failed_;
}

void SimulatedCuda::break_device(bool is_broken) {
  std::lock_guard lock(mutex_);
  is_broken_ = is_broken;
}

void SimulatedCuda::refuse_pinning(bool is_refused) {
  std::lock_guard lock(mutex_);
  is_pinning_refused_ = is_refused;
}

void SimulatedCuda::lack_kernels() {
  std::lock_guard lock(mutex_);
  are_kernels_lacking_ = true;
}

uint64_t SimulatedCuda::kernel_loads() const {
  std::lock_guard lock(mutex_);
  return kernel_loads_;
}

void SimulatedCuda::refuse_device_memory(bool is_refused) {
  std::lock_guard lock(mutex_);
  is_device_memory_refused_ = is_refused;
}

std::vector<std::string> SimulatedCuda::broken_rules() const {
  std::lock_guard lock(mutex_);
  return broken_rules_;
}

uint64_t SimulatedCuda::pinned_regions() const {
  std::lock_guard lock(mutex_);
  return pinned_.size();
}

uint64_t SimulatedCuda::allocations() const {
  std::lock_guard lock(mutex_);
  return allocated_.size();
}

uint64_t SimulatedCuda::allocated_bytes() const {
  std::lock_guard lock(mutex_);
  return allocated_bytes_;
}

uint64_t SimulatedCuda::tables_on_host() const {
  std::lock_guard lock(mutex_);
  return tables_on_host_;
}

uint64_t SimulatedCuda::copies_by_engine() const {
  std::lock_guard lock(mutex_);
  return copies_by_engine_;
}

uint64_t SimulatedCuda::kernels() const {
  std::lock_guard lock(mutex_);
  return kernels_;
}

}  // namespace tintype
