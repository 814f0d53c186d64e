// Operating errors as values. A Status says what kind of failure it was (for the caller's
// decision), the errno where there is one, a text that names the file and the operation, and what
// to do.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/check.h"

namespace tintype {

enum class StatusCode {
  ok,
  invalid_argument,
  not_found,
  already_exists,
  out_of_space,
  resource_exhausted,
  io_error,
  corruption,
  unsupported,
  cancelled,
  interrupted,  // a signal handler asked the blocking call to stop
  locked,
  busy,
  torn,  // the job changed bytes of a guarded save before they were copied
  internal,
};

std::string_view to_string(StatusCode code);

// Immutable, cheap to copy (one shared pointer; null means ok). Thread-safe as a value.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(StatusCode code, std::string message, int error_number = 0);

  static Status ok() { return {}; }
  static Status invalid_argument(std::string message, std::string remedy = {});
  static Status unsupported(std::string message, std::string remedy = {});
  // Its remedy is another copy of the file, or an older one.
  static Status corruption(std::string message);
  static Status internal(std::string message);

  bool is_ok() const { return state_ == nullptr; }
  StatusCode code() const { return state_ ? state_->code : StatusCode::ok; }
  // The errno behind the failure; 0 where there is none.
  int error_number() const { return state_ ? state_->error_number : 0; }
  // The path the failed operation was about, which the message names; empty where there is none.
  std::string_view path() const { return state_ ? std::string_view(state_->path) : ""; }
  // What went wrong, for texts that say themselves how it goes on.
  std::string_view message() const { return state_ ? std::string_view(state_->message) : ""; }
  // What the user can do about it; empty where nothing is known.
  std::string_view remedy() const { return state_ ? std::string_view(state_->remedy) : ""; }
  // "message; remedy", for the user.
  std::string to_string() const;

  // The same failure with "context: " in front of the message, or with one field replaced; ok stays
  // ok.
  Status with_context(std::string_view context) const;
  Status with_code(StatusCode code) const;
  Status with_path(std::string path) const;
  Status with_remedy(std::string remedy) const;
  // The same failure as one of this file: "operation 'path': " in front, and path(), unless path()
  // is it already, and the message names it.
  Status of_file(std::string_view path, std::string_view operation = {}) const;

 private:
  struct State {
    StatusCode code;
    int error_number;
    std::string message;
    std::string path;
    std::string remedy;
  };
  template <typename Change>
  Status changed(const Change& change) const;

  std::shared_ptr<const State> state_;
};

// The one place where an errno becomes a Status: "operation 'path': meaning [ENOSPC, errno 28]".
Status errno_status(int error_number, std::string_view operation, std::string_view path);
// With a remedy of the caller's, who knows more than the errno tells.
Status errno_status(int error_number, std::string_view operation, std::string_view path,
                    std::string_view remedy);

// The symbolic name of an errno ("ENOSPC"); "errno N" for one without a name.
std::string errno_name(int error_number);

// A value or the reason why there is none. REQUIRES for value(): is_ok().
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : value_(std::move(value)) {}         // NOLINT(google-explicit-constructor)
  Result(Status status) : status_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    TINTYPE_CHECK(!status_.is_ok());
  }

  bool is_ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }
  T& value() & {
    TINTYPE_CHECK(is_ok());
    return *value_;
  }
  const T& value() const& {
    TINTYPE_CHECK(is_ok());
    return *value_;
  }
  // By value: what is taken from a temporary outlives it (`for (x : list().value())`).
  T value() && {
    TINTYPE_CHECK(is_ok());
    return std::move(*value_);
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  Status status_;
  std::optional<T> value_;
};

}  // namespace tintype

// Returns from the calling function when `expression` (a Status) is not ok.
#define TINTYPE_RETURN_IF_ERROR(expression)                                                 \
  do {                                                                                      \
    if (auto tintype_status = (expression); !tintype_status.is_ok()) return tintype_status; \
  } while (false)

// NOLINTBEGIN(bugprone-macro-parentheses): names and declarations take none.
#define TINTYPE_CONCAT_INNER(a, b) a##b
#define TINTYPE_CONCAT(a, b) TINTYPE_CONCAT_INNER(a, b)

// Declares or assigns `target` from a Result, or returns its Status.
#define TINTYPE_ASSIGN_OR_RETURN(target, expression)             \
  auto TINTYPE_CONCAT(tintype_result_, __LINE__) = (expression); \
  if (!TINTYPE_CONCAT(tintype_result_, __LINE__).is_ok())        \
    return TINTYPE_CONCAT(tintype_result_, __LINE__).status();   \
  target = std::move(TINTYPE_CONCAT(tintype_result_, __LINE__)).value()
// NOLINTEND(bugprone-macro-parentheses)
