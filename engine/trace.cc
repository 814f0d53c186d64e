#include "engine/trace.h"

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "base/log.h"
#include "io/disk/target_path.h"

namespace tintype {
namespace {

constexpr size_t kBufferBytes = 64 << 10;
constexpr std::string_view kArrayEnd = "\n]\n";

std::string quote(std::string_view text) {
  using nlohmann::json;
  return json(text).dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string thread_name() {
  std::array<char, 16> name = {};
  if (::getpid() == ::gettid()) return "main thread";
  if (pthread_getname_np(pthread_self(), name.data(), name.size()) != 0) return "thread";
  return name.data();
}

}  // namespace

Result<std::unique_ptr<Trace>> Trace::create(const std::string& path) {
  TINTYPE_ASSIGN_OR_RETURN(const TargetPath target,
                           resolve_target(posix_file_system(), path, true));
  if (auto status = target.directory->remove(target.name); status.code() != StatusCode::not_found) {
    TINTYPE_RETURN_IF_ERROR(status);
  }
  TINTYPE_ASSIGN_OR_RETURN(auto file, target.directory->create(target.name, 0666));
  return std::unique_ptr<Trace>(new Trace(std::move(file)));
}

Trace::Trace(std::unique_ptr<File> file) : file_(std::move(file)) {
  buffer_ = fmt::format(
      R"([{{"ph":"M","name":"process_name","pid":{},"args":{{"name":"tintype"}}}})", ::getpid());
}

Trace::~Trace() { flush(); }

void Trace::add(std::string_view name, Time start, Time end, uint64_t save) {
  const pid_t thread = ::gettid();
  const double duration_us = std::chrono::duration<double, std::micro>(end - start).count();
  const std::string event =
      fmt::format(R"({{"ph":"X","name":"{}","cat":"tintype","pid":{},"tid":{},)"
                  R"("ts":{:.3f},"dur":{:.3f},"args":{{"save":{}}}}})",
                  name, ::getpid(), thread, microseconds(start), duration_us, save);
  std::lock_guard lock(mutex_);
  if (lanes_.insert(thread).second) name_lane(thread);
  append(event);
}

void Trace::add_overlapping(std::string_view name, Time start, Time end, uint64_t save,
                            std::string_view path) {
  std::lock_guard lock(mutex_);
  const uint64_t id = next_id_++;
  for (const auto& [phase, time] : {std::pair('b', start), std::pair('e', end)}) {
    append(fmt::format(R"({{"ph":"{}","name":"{}","cat":"{}","id":{},"pid":{},"tid":0,)"
                       R"("ts":{:.3f},"args":{{"save":{},"path":{}}}}})",
                       phase, name, name, id, ::getpid(), microseconds(time), save, quote(path)));
  }
}

void Trace::name_lane(pid_t thread) {
  append(fmt::format(R"({{"ph":"M","name":"thread_name","pid":{},"tid":{},"args":{{"name":{}}}}})",
                     ::getpid(), thread, quote(thread_name())));
}

void Trace::append(const std::string& event) {
  buffer_ += ",\n";
  buffer_ += event;
  if (buffer_.size() >= kBufferBytes) write_buffer();
}

void Trace::flush() {
  std::lock_guard lock(mutex_);
  write_buffer();
}

void Trace::write_buffer() {
  if (file_ != nullptr && !buffer_.empty()) {
    const size_t new_bytes = buffer_.size();
    buffer_ += kArrayEnd;
    const Status status = write_fully(*file_, as_bytes(buffer_), written_bytes_);
    if (!status.is_ok()) {
      log_warning(status.with_context("the trace ends here").to_string());
      file_.reset();
    }
    written_bytes_ += new_bytes;
  }
  buffer_.clear();
}

double Trace::microseconds(Time time) const {
  return std::chrono::duration<double, std::micro>(time - origin_).count();
}

}  // namespace tintype
