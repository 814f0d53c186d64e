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
  std::lock_guard lock(mutex_);
  entered_[std::this_thread::get_id()].push_back(device);
  return Status::ok();
}

void SimulatedCuda::leave() {
  std::lock_guard lock(mutex_);
  std::vector<int>& entered = entered_[std::this_thread::get_id()];
  if (entered.empty()) return note("a device is left that was not entered");
  entered.pop_back();
}

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

std::optional<int> SimulatedCuda::current_device() const {
  const auto found = entered_.find(std::this_thread::get_id());
  if (found == entered_.end() || found->second.empty()) return std::nullopt;
  return found->second.back();
}

void SimulatedCuda::check_entered(const char* what) {
  if (!current_device()) note(std::string(what) + " on no device");
}

void SimulatedCuda::check_device(const char* what, int device) {
  const auto current = current_device();
  if (current && *current != device) note(std::string(what) + " of another device");
}

void SimulatedCuda::check_stream(const char* what, Stream stream) {
  const auto found = devices_of_streams_.find(stream);
  if (found != devices_of_streams_.end()) check_device(what, found->second);
}

SimulatedCuda::EventState& SimulatedCuda::event(const char* what, Event event) {
  EventState& state = events_.at(event);
  if (state.is_destroyed) note(std::string(what) + " that was destroyed");
  return state;
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
  devices_of_streams_[++next_handle_] = current_device().value_or(0);
  return next_handle_;
}

Result<CudaApi::Event> SimulatedCuda::create_event() {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("create an event"));
  events_[++next_handle_].device = current_device().value_or(0);
  return next_handle_;
}

Status SimulatedCuda::record(Event event, Stream stream) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("record an event"));
  check_stream("record on a stream", stream);
  EventState& state = this->event("record an event", event);
  check_device("record an event", state.device);
  const uint64_t count = ++state.recorded;
  return add(stream, [this, event, count] { events_.at(event).reached = count; });
}

Status SimulatedCuda::make_wait(Stream stream, Event event) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("make a stream wait"));
  check_stream("make a stream wait", stream);
  const uint64_t count = this->event("wait for an event", event).recorded;
  return add(
      stream, [] {}, [this, event, count] { return events_.at(event).reached >= count; });
}

Result<bool> SimulatedCuda::is_capturing(Stream stream) {
  std::lock_guard lock(mutex_);
  check_entered("look at a stream");
  check_stream("look at a stream", stream);
  return capturing_.contains(stream);
}

Status SimulatedCuda::synchronize(Stream stream) {
  std::unique_lock lock(mutex_);
  check_entered("wait for a stream");
  check_stream("wait for a stream", stream);
  wait_until(lock, [&] { return streams_[stream].empty(); });
  return Status::ok();
}

Status SimulatedCuda::copy(std::byte* target, const std::byte* source, uint64_t size_bytes,
                           Stream stream) {
  std::unique_lock lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("copy"));
  check_stream("copy on a stream", stream);
  const bool is_to_device = is_in(device_memory_, {target, size_bytes});
  if (is_to_device == is_in(device_memory_, {source, size_bytes})) {
    note("a copy that is neither to the device nor from it");
  }
  if (!is_to_device) {
    ++copies_by_engine_;
    longest_copy_bytes_ = std::max(longest_copy_bytes_, size_bytes);
  }
  const ByteView host{is_to_device ? source : target, size_bytes};
  const bool is_asynchronous = is_in(pinned_, host) || is_in(host_memory_, host);
  TINTYPE_RETURN_IF_ERROR(add(stream, [=] { std::memcpy(target, source, size_bytes); }));
  if (!is_asynchronous) wait_until(lock, [&] { return streams_[stream].empty(); });
  return Status::ok();
}

Status SimulatedCuda::start_launch(const PieceTable& table, uint32_t blocks_max, Stream stream) {
  TINTYPE_RETURN_IF_ERROR(take_luck("launch"));
  check_stream("launch on a stream", stream);
  const auto memory = devices_of_memory_.find(reinterpret_cast<const std::byte*>(table.pieces));
  if (memory != devices_of_memory_.end()) check_device("launch with a table", memory->second);
  if (table.chunk_count == 0 || blocks_max == 0) note("an empty launch");
  ++kernels_;
  return Status::ok();
}

Status SimulatedCuda::launch_gather(const PieceTable& table, uint32_t blocks_max, Stream stream) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(start_launch(table, blocks_max, stream));
  const auto run = [this, table] {
    check_reached(table, true);
    gather_on_host(table);
  };
  return add(stream, run, [this] { return !are_kernels_held_; });
}

Status SimulatedCuda::launch_crc32(const PieceTable& table, uint32_t* chunk_crcs,
                                   uint32_t blocks_max, Stream stream) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(start_launch(table, blocks_max, stream));
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
    if (!is_in(device_memory_, {piece.source, piece.size_bytes})) note("a source elsewhere");
    if (has_targets) check_target(piece);
  }
}

void SimulatedCuda::check_target(const CopyPiece& piece) {
  const PlaneSplit& planes = piece.planes;
  if (planes.width > 1) split_bytes_ += piece.size_bytes;
  if (reinterpret_cast<uintptr_t>(piece.source) % planes.width != 0) {
    note("elements are read that are not aligned");
  }
  const ByteView target{piece.target, piece.target_bytes()};
  if (!is_in(device_memory_, target) && !is_in(pinned_, target) && !is_in(host_memory_, target)) {
    note("a kernel writes to memory that is not pinned");
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
  const MutableBytes memory = allocate(size_bytes, device_memory_);
  devices_of_memory_[memory.data()] = current_device().value_or(0);
  return memory;
}

Status SimulatedCuda::pin(MutableBytes memory) {
  std::lock_guard lock(mutex_);
  TINTYPE_RETURN_IF_ERROR(take_luck("pin"));
  ++pinnings_asked_;
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
  const EventState& state = this->event("look at an event", event);
  return state.reached >= state.recorded;
}

Status SimulatedCuda::wait(Event event) {
  std::unique_lock lock(mutex_);
  check_entered("wait for an event");
  const EventState& state = this->event("wait for an event", event);
  wait_until(lock, [&] { return state.reached >= state.recorded; });
  if (is_broken_) return {StatusCode::io_error, "simulated: the device failed"};
  return Status::ok();
}

void SimulatedCuda::destroy_event(Event event) {
  std::lock_guard lock(mutex_);
  check_entered("destroy an event");
  this->event("destroy an event", event).is_destroyed = true;
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

}  // namespace tintype
