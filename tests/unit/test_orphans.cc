// Which temporary files go at a start, and which must stay.
#include <memory>
#include <string>
#include <vector>

#include "io/disk/atomic_file.h"
#include "io/disk/orphans.h"
#include "io/disk/temp_names.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/status_matchers.h"

namespace tintype {
namespace {

constexpr int64_t kHourNs = int64_t{3600} * 1'000'000'000;

class Orphans : public testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(disk_.create_directories("/d")); }

  std::string put(const std::string& name, const std::string& content = "content") {
    disk_.put_file("/d/" + name, content);
    return name;
  }
  bool is_there(const std::string& name) { return disk_.files().contains("/d/" + name); }
  size_t removed(const SoundnessCheck& is_sound = {}) {
    const auto directory = disk_.open_directory("/d").value();
    const auto found = find_orphans(*directory, is_sound).value();
    const auto removed = remove_orphans(*directory, is_sound).value();
    EXPECT_EQ(names_of(removed), names_of(found)) << "what was found is what goes";
    return removed.size();
  }
  static std::vector<std::string> names_of(const std::vector<Orphan>& orphans) {
    std::vector<std::string> names;
    for (const Orphan& orphan : orphans) names.push_back(orphan.name);
    return names;
  }
  static std::string temp_of_another_host(const std::string& final_name) {
    return "." + final_name + ".tintype-elsewhere-42-0123456789abcdef";
  }

  SimulatedDisk disk_;
};

TEST_F(Orphans, a_dead_writers_temp_goes_and_nothing_else) {
  const std::string orphan = put(temp_name_for("x.pth"));
  const std::string others[] = {put("x.pth"), put(".x.pth.tintype-odd"), put(".tintype.lock")};
  EXPECT_EQ(removed(), 1u);
  EXPECT_FALSE(is_there(orphan));
  for (const std::string& name : others) EXPECT_TRUE(is_there(name)) << name;
}

TEST_F(Orphans, a_living_writers_temp_stays_until_its_lock_is_gone) {
  auto writer = AtomicFile::open(disk_, "/d/x.pth", {.is_named_temp = true}).value();
  ASSERT_OK(writer->begin(4));
  EXPECT_EQ(removed(), 0u);
  ASSERT_OK(write_fully(writer->file(), as_bytes("text"), 0));
  EXPECT_OK(writer->commit(4));
  EXPECT_EQ(disk_.files().at("/d/x.pth"), "text");
}

TEST_F(Orphans, the_file_that_a_living_writer_replaces_stays) {
  put("x.pth", "old");
  auto writer = AtomicFile::open(disk_, "/d/x.pth").value();
  ASSERT_OK(writer->begin(4));
  ASSERT_OK(write_fully(writer->file(), as_bytes("text"), 0));
  ASSERT_OK(writer->seal(4));
  ASSERT_OK(writer->expose());  // now the old file has the temp's name
  EXPECT_EQ(removed(), 0u);
  EXPECT_OK(writer->retract());
  EXPECT_EQ(disk_.files().at("/d/x.pth"), "old");
}

TEST_F(Orphans, another_hosts_temp_goes_after_a_day) {
  const std::string temp = put(temp_of_another_host("x.pth"));
  EXPECT_EQ(removed(), 0u);
  disk_.make_older("/d/" + temp, 23 * kHourNs);
  EXPECT_EQ(removed(), 0u);
  disk_.make_older("/d/" + temp, 2 * kHourNs);
  EXPECT_EQ(removed(), 1u);
  EXPECT_FALSE(is_there(temp));
}

TEST_F(Orphans, a_temp_stays_while_the_file_of_its_final_name_is_not_sound) {
  put("x.pth", "torn");
  const std::string temp = put(temp_name_for("x.pth"), "the old file, whole");
  const std::string unrelated = put(temp_name_for("y.pth"));
  const auto is_sound = [](File& file) {
    const auto content = read_whole(file, 1000);
    return content.is_ok() && as_text(*content) != "torn";
  };
  EXPECT_EQ(removed(is_sound), 1u);
  EXPECT_TRUE(is_there(temp));
  EXPECT_FALSE(is_there(unrelated));
  put("x.pth", "whole");
  EXPECT_EQ(removed(is_sound), 1u);
  EXPECT_FALSE(is_there(temp));
}

TEST_F(Orphans, finding_them_removes_nothing_and_tells_their_sizes) {
  const std::string orphan = put(temp_name_for("x.pth"), "seven b");
  const auto found = find_orphans(*disk_.open_directory("/d").value(), {}).value();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].name, orphan);
  EXPECT_EQ(found[0].size_bytes, 7u);
  EXPECT_TRUE(is_there(orphan));
}

TEST_F(Orphans, without_a_check_an_empty_file_is_not_sound) {
  put("x.pth", "");
  put(temp_name_for("x.pth"));
  EXPECT_EQ(removed(), 0u);
}

}  // namespace
}  // namespace tintype
