// The memory that keeps eager storages.
#include <gtest/gtest.h>

#include "base/page_sizes.h"
#include "engine/early_buffer.h"

namespace tintype {
namespace {

TEST(EarlyBuffer, memory_is_kept_and_grows_only_when_more_is_needed) {
  EarlyBuffer buffer;
  const MutableBytes first = buffer.reserve(100).value();
  EXPECT_EQ(first.size(), kPageBytes);
  first[99] = std::byte{7};
  EXPECT_EQ(buffer.reserve(kPageBytes)->data(), first.data());
  EXPECT_EQ(buffer.reserve(1)->data()[99], std::byte{7});
  const MutableBytes second = buffer.reserve(kPageBytes + 1).value();
  EXPECT_EQ(second.size(), 2 * kPageBytes);
  second[kPageBytes] = std::byte{1};
}

TEST(EarlyBuffer, memory_that_is_refused_is_an_error_and_leaves_it_usable) {
  EarlyBuffer buffer;
  EXPECT_FALSE(buffer.reserve(1ull << 60).is_ok());
  EXPECT_TRUE(buffer.reserve(1).is_ok());
}

}  // namespace
}  // namespace tintype
