// Status and Result: what they say and what they hand out.
#include <cerrno>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/status.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

using testing::HasSubstr;

Result<std::vector<std::string>> three_names() {
  return std::vector<std::string>{"first, too long to lie in the string", "second", "third"};
}

TEST(Result, a_value_taken_from_a_temporary_outlives_it) {
  static_assert(std::is_same_v<decltype(three_names().value()), std::vector<std::string>>);
  std::string all;
  for (const std::string& name : three_names().value()) all += name + ";";
  EXPECT_EQ(all, "first, too long to lie in the string;second;third;");
}

TEST(Result, a_value_that_cannot_be_copied_is_moved_out) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(3));
  const std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 3);
}

TEST(Status, an_errno_is_told_with_operation_path_and_remedy) {
  const Status general = errno_status(ENOENT, "open", "/x.pth");
  EXPECT_THAT(general, IsStatus(StatusCode::not_found,
                                HasSubstr("open '/x.pth': No such file or directory [ENOENT, "
                                          "errno 2]; check the spelling, or create")));
  const Status own = errno_status(ENOENT, "read", "/x.pth", "ask the owner");
  EXPECT_THAT(own, IsStatus(StatusCode::not_found, HasSubstr("errno 2]; ask the owner")));
  EXPECT_EQ(own.path(), "/x.pth");
  EXPECT_EQ(own.error_number(), ENOENT);
}

}  // namespace
}  // namespace tintype
