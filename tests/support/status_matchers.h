// EXPECT_OK(status or result), ASSERT_OK(...), EXPECT_THAT(x, IsStatus(code, HasSubstr("..."))).
#pragma once

#include <ostream>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/status.h"

namespace tintype {

inline const Status& status_of(const Status& status) { return status; }
template <typename T>
const Status& status_of(const Result<T>& result) {
  return result.status();
}

inline void PrintTo(const Status& status, std::ostream* stream) {
  *stream << to_string(status.code()) << ": " << status.to_string();
}
template <typename T>
void PrintTo(const Result<T>& result, std::ostream* stream) {
  PrintTo(result.status(), stream);
}

MATCHER_P2(IsStatus, code, message_matcher, std::string("is a ") + std::string(to_string(code))) {
  const Status& status = status_of(arg);
  return status.code() == code &&
         testing::ExplainMatchResult(message_matcher, status.to_string(), result_listener);
}

}  // namespace tintype

#define TINTYPE_OK_CHECK(check, expression) \
  check(::tintype::status_of(expression).to_string(), "") << #expression
#define EXPECT_OK(expression) TINTYPE_OK_CHECK(EXPECT_EQ, expression)
#define ASSERT_OK(expression) TINTYPE_OK_CHECK(ASSERT_EQ, expression)
