// Looking at a checkpoint directory, and cleaning it, without being its writer.
#include <cerrno>
#include <filesystem>
#include <map>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "engine/directory/checkpoint_layout.h"
#include "engine/directory/listing.h"
#include "io/disk/temp_names.h"
#include "tests/support/compressed_file.h"
#include "tests/support/directory_fixture.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using namespace testing_support;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Standing = ListedCheckpoint::Standing;

class Listing : public CheckpointDirectoryTest {
 protected:
  DirectoryListing list() {
    auto listing = list_checkpoints(posix_file_system(), logdir_);
    EXPECT_OK(listing);
    return std::move(listing).value();
  }

  std::vector<std::string> listed_names() {
    std::vector<std::string> names;
    for (const ListedCheckpoint& one : list().checkpoints) names.push_back(one.name);
    return names;
  }

  // Every file, hidden ones too, with its time of change.
  std::map<std::string, std::filesystem::file_time_type> everything() const {
    std::map<std::string, std::filesystem::file_time_type> found;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(logdir_)) {
      if (!entry.is_directory()) found[entry.path()] = entry.last_write_time();
    }
    return found;
  }

  std::string put_orphan(const std::string& folder, const std::string& content = "left behind") {
    const std::string path = folder + "/" + temp_name_for("gone.pth");
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }
};

TEST_F(Listing, the_best_comes_first_and_links_are_told_by_what_they_show) {
  save_three();
  const DirectoryListing listing = list();
  EXPECT_EQ(listing.path, folder_);
  ASSERT_EQ(listing.checkpoints.size(), 3u);
  EXPECT_EQ(listing.index->main_metric, "loss");
  const ListedCheckpoint& best = listing.checkpoints.front();
  EXPECT_EQ(best.name, "train.1");
  EXPECT_EQ(best.standing, Standing::kept);
  EXPECT_TRUE(best.is_best && !best.is_last && best.is_sound());
  EXPECT_EQ(best.full->name, "train.1_full.pth");
  EXPECT_EQ(best.light->name, "train.1.pth");
  EXPECT_EQ(best.full->size_bytes, read(folder_ + "/train.1_full.pth").size());
  EXPECT_EQ(best.entry->score, .1);
  EXPECT_TRUE(listing.checkpoints[2].is_last);
  EXPECT_THAT(listing.notes, IsEmpty());
}

TEST_F(Listing, what_links_share_is_counted_once) {
  save_three();
  uint64_t expected_bytes = 0;
  for (int epoch = 1; epoch <= 3; ++epoch) {
    for (const char* ending : {"_full.pth", ".pth"}) {
      expected_bytes += read(folder_ + "/train." + std::to_string(epoch) + ending).size();
    }
  }
  EXPECT_EQ(list().disk_bytes, expected_bytes);
}

TEST_F(Listing, looking_changes_nothing_while_a_run_writes_there) {
  save_three();
  const auto before = everything();
  const DirectoryListing listing = list();
  EXPECT_EQ(everything(), before);
  EXPECT_THAT(listing.holder, HasSubstr("process " + std::to_string(::getpid())));
  directory_.reset();
  EXPECT_EQ(list().holder, "");
}

TEST_F(Listing, an_epoch_that_only_last_shows_is_listed) {
  options_.save_n_best = 1;
  open();
  save("train", 1, .1);
  save("train", 2, .2);
  const DirectoryListing listing = list();
  ASSERT_THAT(listed_names(), ElementsAre("train.1", "train.2"));
  EXPECT_EQ(listing.checkpoints[1].standing, Standing::linked);
  EXPECT_EQ(listing.checkpoints[1].full->name, "last_full.pth");
  EXPECT_TRUE(listing.checkpoints[1].is_last && listing.checkpoints[1].is_sound());
}

TEST_F(Listing, damaged_and_missing_files_are_told_apart) {
  save_three();
  damage("train.2_full.pth");
  std::filesystem::remove(folder_ + "/train.3.pth");
  const DirectoryListing listing = list();
  EXPECT_TRUE(listing.checkpoints[0].is_sound());
  EXPECT_THAT(listing.checkpoints[1].full->status, IsStatus(StatusCode::corruption, HasSubstr("")));
  EXPECT_OK(listing.checkpoints[1].light->status);
  EXPECT_THAT(listing.checkpoints[2].light->status, IsStatus(StatusCode::not_found, HasSubstr("")));
  EXPECT_FALSE(listing.checkpoints[1].is_sound() || listing.checkpoints[2].is_sound());
}

TEST_F(Listing, a_whole_file_that_is_not_the_saved_one_is_not_sound) {
  save_three();
  std::filesystem::copy_file(folder_ + "/train.1_full.pth", folder_ + "/train.2_full.pth",
                             std::filesystem::copy_options::overwrite_existing);
  EXPECT_THAT(list().checkpoints[1].full->status,
              IsStatus(StatusCode::corruption, HasSubstr("another file than the one saved")));
}

TEST_F(Listing, losers_are_listed_until_they_are_gone) {
  save_three();
  directory_.reset();
  options_.save_n_best = 1;
  open(true);
  ASSERT_THAT(listed_names(), ElementsAre("train.1", "train.3", "train.2"));
  EXPECT_EQ(list().checkpoints[2].standing, Standing::losing);
  resume("last");
  EXPECT_THAT(listed_names(), ElementsAre("train.1", "train.3"));
}

TEST_F(Listing, without_an_index_the_files_speak_by_their_names) {
  save_three();
  directory_.reset();
  std::filesystem::remove(folder_ + "/.tintype.json");
  const DirectoryListing listing = list();
  EXPECT_FALSE(listing.index.has_value());
  ASSERT_THAT(listed_names(), ElementsAre("train.1", "train.2", "train.3"));
  EXPECT_EQ(listing.checkpoints[0].standing, Standing::unindexed);
  EXPECT_TRUE(listing.checkpoints[0].is_best);
  EXPECT_TRUE(listing.checkpoints[2].is_last);
  EXPECT_FALSE(listing.checkpoints[0].entry.has_value());
}

TEST_F(Listing, a_directory_in_a_compressed_form_is_listed_as_any) {
  for (const FileForm form : {FileForm::zstd, FileForm::planes}) {
    options_.form = {.form = form};
    options_.save_n_best = 2;
    open();
    save("train", 1, .2);
    save("train", 2, .1);
    const DirectoryListing listing = list();
    ASSERT_EQ(listing.checkpoints.size(), 2u);
    const ListedCheckpoint& best = listing.checkpoints[0];
    EXPECT_EQ(best.full->name, full_name("train.2", form));
    EXPECT_TRUE(best.is_sound() && best.is_best && best.is_last);
    EXPECT_EQ(best.standing, Standing::kept);
    directory_.reset();
    std::filesystem::remove_all(folder_);
  }
}

TEST_F(Listing, files_of_another_form_are_listed_and_counted_too) {
  options_.form = {.form = FileForm::zstd};
  open();
  save("train", 1, .2);
  options_.form = {};
  open();
  save("train", 1, .1);
  const DirectoryListing listing = list();
  ASSERT_THAT(listed_names(), ElementsAre("train.1", "train.1"));
  EXPECT_EQ(listing.checkpoints[0].standing, Standing::kept);
  EXPECT_EQ(listing.checkpoints[1].standing, Standing::unindexed);
  EXPECT_EQ(listing.checkpoints[1].full->name, "train.1_full.pth.zst");
  EXPECT_EQ(listing.checkpoints[1].light->name, "train.1.pth.zst");
  uint64_t bytes = 0;
  for (const char* name :
       {"train.1.pth", "train.1_full.pth", "train.1.pth.zst", "train.1_full.pth.zst"}) {
    bytes += std::filesystem::file_size(folder_ + "/" + name);
  }
  EXPECT_EQ(listing.disk_bytes, bytes);
}

// As a crash before their removal leaves it.
TEST_F(Listing, best_and_last_of_an_earlier_run_in_another_form_are_none) {
  options_.form = {.form = FileForm::zstd};
  open();
  save("train", 1, .2);
  const auto folder = std::filesystem::path(folder_);
  std::filesystem::copy(folder / "best_full.pth.zst", folder / "kept");
  options_.form = {};
  open();
  save("train", 1, .1);
  std::filesystem::rename(folder / "kept", folder / "best_full.pth.zst");
  std::filesystem::remove(folder / "train.1_full.pth.zst");
  std::filesystem::remove(folder / "train.1.pth.zst");
  const DirectoryListing listing = list();
  ASSERT_THAT(listed_names(), ElementsAre("train.1", "best"));
  EXPECT_TRUE(listing.checkpoints[0].is_best && listing.checkpoints[0].is_last);
  EXPECT_FALSE(listing.checkpoints[1].is_best || listing.checkpoints[1].is_last);
}

TEST_F(Listing, a_best_that_no_epoch_shows_is_listed_by_its_own_name) {
  std::filesystem::create_directories(folder_);
  const std::string path = folder_ + "/best.pth";
  ASSERT_OK(replace_file(posix_file_system(), path, archive_with("FACTS a b 1 .5 END")));
  ASSERT_THAT(listed_names(), ElementsAre("best"));
  EXPECT_TRUE(list().checkpoints[0].is_best);
  EXPECT_FALSE(list().checkpoints[0].full.has_value());
}

TEST_F(Listing, the_folder_itself_may_be_named_and_an_empty_one_is_refused) {
  save_three();
  const auto by_folder = list_checkpoints(posix_file_system(), folder_ + "/");
  ASSERT_OK(by_folder);
  EXPECT_EQ(by_folder->checkpoints.size(), 3u);
  std::filesystem::create_directories(logdir_ + "/other");
  EXPECT_THAT(list_checkpoints(posix_file_system(), logdir_ + "/other"),
              IsStatus(StatusCode::not_found, HasSubstr("name the folder of a run")));
}

TEST_F(Listing, an_index_that_is_damaged_is_an_error) {
  save_three();
  std::ofstream(folder_ + "/.tintype.json") << "{";
  EXPECT_THAT(list_checkpoints(posix_file_system(), logdir_),
              IsStatus(StatusCode::corruption, HasSubstr("move it away")));
}

TEST_F(Listing, cleaning_removes_what_dead_writers_left_in_both_folders) {
  save_three();
  directory_.reset();
  const auto before = everything();
  const std::string above = put_orphan(logdir_);
  const std::string inside = put_orphan(folder_);
  EXPECT_EQ(list().orphans.size(), 1u);
  const auto shown = clean_directory(posix_file_system(), logdir_, true);
  ASSERT_OK(shown);
  EXPECT_TRUE(std::filesystem::exists(above) && std::filesystem::exists(inside));
  const auto cleaned = clean_directory(posix_file_system(), logdir_ + "/", false);
  ASSERT_OK(cleaned);
  for (const auto& folders : {*shown, *cleaned}) {
    ASSERT_EQ(folders.size(), 2u);
    EXPECT_EQ(folders[0].path + "/" + folders[0].orphans.at(0).name, above);
    EXPECT_EQ(folders[1].path + "/" + folders[1].orphans.at(0).name, inside);
  }
  EXPECT_EQ(everything(), before);
}

// For each form: an exchange left the old file under the temp's name, and the new one stands.
TEST_F(Listing, an_orphan_beside_a_compressed_file_goes_if_that_is_whole) {
  open();
  directory_.reset();
  const ByteVector plain(10'000, std::byte{7});
  for (const FileForm form : {FileForm::zstd, FileForm::planes}) {
    const std::string name = light_name(kBestBase, form);
    const ByteVector whole = compressed_file(form, plain, {}, plain.size());
    const std::string orphan = folder_ + "/" + temp_name_for(name);
    for (const bool is_whole : {false, true}) {
      write_text(orphan, "the old file");
      write_text(folder_ + "/" + name,
                 std::string(as_text(whole).substr(0, whole.size() - (is_whole ? 0 : 1))));
      ASSERT_OK(clean_directory(posix_file_system(), logdir_, false));
      EXPECT_EQ(std::filesystem::exists(orphan), !is_whole) << name;
    }
  }
}

TEST_F(Listing, cleaning_says_what_it_cannot_remove_or_look_into) {
  open();
  directory_.reset();
  const std::string orphan = put_orphan(folder_);
  FaultInjector injector;
  FaultFileSystem faulty(posix_file_system(), injector);
  injector.fail_named("remove", EACCES);
  const auto kept = clean_directory(faulty, logdir_, false);
  EXPECT_THAT(kept, IsStatus(StatusCode::io_error, HasSubstr(orphan)));
  EXPECT_EQ(kept.status().error_number(), EACCES);
  EXPECT_EQ(injector.fired(), 1u);
  injector.reset();
  injector.fail_named("open_directory", EACCES, 1);  // the folder inside
  EXPECT_EQ(clean_directory(faulty, logdir_, false).status().error_number(), EACCES);
  EXPECT_EQ(injector.fired(), 1u);
  EXPECT_TRUE(std::filesystem::exists(orphan));
}

TEST_F(Listing, a_directory_in_use_is_not_cleaned) {
  save_three();
  const std::string orphan = put_orphan(folder_);
  for (const bool is_dry_run : {true, false}) {
    EXPECT_THAT(clean_directory(posix_file_system(), logdir_, is_dry_run),
                IsStatus(StatusCode::locked, HasSubstr("wait until that run has ended")));
  }
  EXPECT_TRUE(std::filesystem::exists(orphan));
  directory_.reset();
  EXPECT_OK(clean_directory(posix_file_system(), logdir_, false));
  EXPECT_FALSE(std::filesystem::exists(orphan));
}

}  // namespace
}  // namespace tintype
