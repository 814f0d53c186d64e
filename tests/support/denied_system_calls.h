// Takes system calls away from the calling process, for good: see child_process.h. For test
// programs that link libseccomp.
#pragma once

#include <seccomp.h>

#include <cstdint>
#include <initializer_list>

#include <gtest/gtest.h>

namespace tintype {

inline void deny_system_calls(std::initializer_list<int> numbers, int error_number) {
  scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
  const auto denial = SCMP_ACT_ERRNO(static_cast<uint16_t>(error_number));
  for (const int number : numbers) ASSERT_EQ(seccomp_rule_add(filter, denial, number, 0), 0);
  ASSERT_EQ(seccomp_load(filter), 0);
  seccomp_release(filter);
}

}  // namespace tintype
