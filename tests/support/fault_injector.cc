#include "tests/support/fault_injector.h"

#include <cerrno>
#include <utility>

namespace tintype {

void FaultInjector::reset() {
  std::lock_guard lock(mutex_);
  trace_.clear();
  faults_.clear();
  failed_.clear();
}

void FaultInjector::fail_at(size_t index, int error_number) {
  std::lock_guard lock(mutex_);
  faults_.push_back({.name = "", .error_number = error_number, .first = index});
}

void FaultInjector::fail_named(std::string name, int error_number, size_t first, size_t count) {
  std::lock_guard lock(mutex_);
  faults_.push_back(
      {.name = std::move(name), .error_number = error_number, .first = first, .count = count});
}

void FaultInjector::pretend_cached_share(double share) {
  std::lock_guard lock(mutex_);
  cached_share_ = share;
}

std::optional<double> FaultInjector::cached_share() const {
  std::lock_guard lock(mutex_);
  return cached_share_;
}

void FaultInjector::set_observer(std::function<void(const Operation&)> observer) {
  std::lock_guard lock(mutex_);
  observer_ = std::move(observer);
}

std::vector<FaultInjector::Operation> FaultInjector::trace() const {
  std::lock_guard lock(mutex_);
  return trace_;
}

std::vector<FaultInjector::Operation> FaultInjector::failed() const {
  std::lock_guard lock(mutex_);
  return failed_;
}

int FaultInjector::fire(std::string_view name, std::string_view path) {
  const Operation operation{std::string(name), std::string(path)};
  std::function<void(const Operation&)> observer;
  int error_number = 0;
  {
    std::lock_guard lock(mutex_);
    const size_t index = trace_.size();
    trace_.push_back(operation);
    observer = observer_;
    for (Fault& fault : faults_) {
      const bool is_match = fault.name.empty() || fault.name == name;
      const size_t position = fault.name.empty() ? index : fault.seen;
      if (is_match) ++fault.seen;
      if (is_match && position >= fault.first && position - fault.first < fault.count) {
        error_number = fault.error_number;
      }
    }
    if (error_number != 0) failed_.push_back(operation);
  }
  if (observer) observer(operation);
  return error_number;
}

Status FaultInjector::check(std::string_view name, std::string_view path) {
  const int error_number = fire(name, path);
  if (error_number == 0) return Status::ok();
  const Status status = errno_status(error_number, name, path);
  if (error_number != EOPNOTSUPP) return status;
  return status.with_code(StatusCode::unsupported);
}

}  // namespace tintype
