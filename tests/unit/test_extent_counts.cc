// How many extents a compressed file may have: what can be written can be read.
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/bytes.h"
#include "io/archive/compressed_layout.h"
#include "io/archive/file_form.h"

namespace tintype {
namespace {

using testing::HasSubstr;

// As a save of tiny extents leaves it: zeros in front of tables that are real.
class HollowFile final : public ByteSource {
 public:
  HollowFile(FileForm form, size_t extent_count) {
    const EncodedExtent extent{.plain_bytes = 4096, .encoded_bytes = 4096, .payload_bytes = 100};
    const std::vector<EncodedExtent> extents(extent_count, extent);
    head_ = file_head(form);
    tail_offset_ = head_.size() + extent_count * extent.encoded_bytes;
    tail_ = file_tail(form, extents).value();
  }

  uint64_t size_bytes() const override { return tail_offset_ + tail_.size(); }
  Status read_at(MutableBytes target, uint64_t offset) const override {
    const bool is_tail = offset >= tail_offset_;
    if (is_tail) return MemorySource(tail_).read_at(target, offset - tail_offset_);
    return MemorySource(head_).read_at(target, offset);
  }
  const std::string& name() const override { return name_; }

 private:
  const std::string name_ = "hollow";
  ByteVector head_;
  ByteVector tail_;
  uint64_t tail_offset_ = 0;
};

class ExtentCount : public testing::TestWithParam<FileForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, ExtentCount, testing::Values(FileForm::zstd, FileForm::planes),
                         [](const auto& form) { return std::string(to_string(form.param)); });

TEST_P(ExtentCount, as_many_extents_as_are_written_are_read) {
  constexpr size_t kExtents = 1'200'000;
  const HollowFile file(GetParam(), kExtents);
  const auto index = read_frame_index(file, GetParam());
  ASSERT_TRUE(index.is_ok()) << index.status().to_string();
  EXPECT_EQ(index->extents.size(), kExtents);
  EXPECT_EQ(index->plain_bytes, kExtents * 4096);
}

TEST(ExtentCountLimit, is_what_a_seek_table_may_list) {
  EXPECT_TRUE(check_extent_count(uint64_t{1} << 26).is_ok());
  const Status status = check_extent_count((uint64_t{1} << 26) + 1);
  EXPECT_EQ(status.code(), StatusCode::unsupported);
  EXPECT_THAT(status.to_string(), HasSubstr("raise extent_bytes"));
  EXPECT_EQ(ReadLimits().frame_count, 2 * (uint64_t{1} << 26));
}

}  // namespace
}  // namespace tintype
