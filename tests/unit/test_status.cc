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
using testing::StartsWith;

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

TEST(Status, a_remedy_stands_beside_the_message_and_last_in_the_text) {
  const Status status =
      errno_status(ENOENT, "read", "/x.pth", "ask the owner").with_context("load");
  EXPECT_EQ(status.message(), "load: read '/x.pth': No such file or directory [ENOENT, errno 2]");
  EXPECT_EQ(status.remedy(), "ask the owner");
  EXPECT_EQ(status.to_string(), std::string(status.message()) + "; ask the owner");
  EXPECT_EQ(Status::internal("no idea").to_string(), "no idea");
  EXPECT_EQ(Status().with_remedy("none needed").to_string(), "");
}

TEST(Status, one_field_is_replaced_and_the_others_stay) {
  const Status status = errno_status(ENOENT, "read", "/x.pth", "ask the owner");
  const Status changed =
      status.with_code(StatusCode::unsupported).with_path("/y.pth").with_remedy("go home");
  EXPECT_EQ(changed.code(), StatusCode::unsupported);
  EXPECT_EQ(changed.path(), "/y.pth");
  EXPECT_EQ(changed.remedy(), "go home");
  EXPECT_EQ(changed.message(), status.message());
  EXPECT_EQ(changed.error_number(), ENOENT);
  EXPECT_EQ(status.remedy(), "ask the owner");
}

TEST(Status, a_file_is_named_once_by_whoever_knows_it_first) {
  const Status nameless = Status::corruption("record 'data/0': CRC-32 differs").of_file("/x.pth");
  EXPECT_EQ(nameless.message(), "'/x.pth': record 'data/0': CRC-32 differs");
  EXPECT_EQ(nameless.path(), "/x.pth");
  EXPECT_EQ(nameless.of_file("/x.pth", "load").message(), nameless.message());
  const Status of_another = errno_status(EIO, "write", "/.x.tmp").of_file("/x.pth", "save");
  EXPECT_THAT(std::string(of_another.message()), StartsWith("save '/x.pth': write '/.x.tmp': "));
  EXPECT_EQ(of_another.path(), "/x.pth");
  EXPECT_OK(Status().of_file("/x.pth"));
}

TEST(Status, corruption_says_where_a_sound_file_may_come_from) {
  EXPECT_THAT(
      Status::corruption("CRC-32 differs").with_context("record 'data/0'"),
      IsStatus(StatusCode::corruption,
               "record 'data/0': CRC-32 differs; copy or download it again, or load an older "
               "checkpoint"));
}

}  // namespace
}  // namespace tintype
