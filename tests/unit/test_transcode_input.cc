// What becomes of the input of `compress_file` and `decompress_file` that other processes touch.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <utility>

#include "engine/transcode/transcode_file.h"
#include "tests/support/codec_data.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/fault_injector.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using testing::HasSubstr;

// Operations of the output: before anything is read of the input, and when all is.
constexpr const char* kBeforeReading = "set_mode";
constexpr const char* kAfterReading = "sync_data";

class TranscodeInputs : public testing::TestWithParam<bool> {
 protected:
  TranscodeInputs() {
    const ByteVector plain = content_bytes(Content::weights_fp32, 200'000, 1);
    write_text(directory_ / "plain", std::string(as_text(plain)));
    const CompressOptions zstd{.encoder = {.form = FileForm::zstd}};
    const std::string packed = directory_ / "packed.zst";
    TINTYPE_CHECK(compress_file(posix_file_system(), {.path = directory_ / "plain"},
                                {.path = packed}, zstd, {})
                      .is_ok());
    TINTYPE_CHECK(
        ::rename((is_compressing() ? directory_ / "plain" : packed).c_str(), input_.c_str()) == 0);
    content_ = read_text(input_);
  }

  static bool is_compressing() { return GetParam(); }

  // Does `change` once, when that operation of the output begins.
  Result<FileTranscoded> run(const char* moment, std::function<void()> change,
                             bool is_removed = false) {
    FaultInjector injector;
    injector.set_observer([&, moment](const FaultInjector::Operation& operation) {
      if (operation.name == moment) std::exchange(change, [] {})();
    });
    FaultFileSystem watched(posix_file_system(), injector);
    const TranscodeInput input{.path = input_, .is_removed = is_removed};
    const TranscodeOutput output{.path = output_};
    const CompressOptions zstd{.encoder = {.form = FileForm::zstd}};
    return is_compressing() ? compress_file(watched, input, output, zstd, {})
                            : decompress_file(watched, input, output, {});
  }

  void append() const {
    std::ofstream(input_, std::ios::binary | std::ios::app) << "a line of another process";
  }
  // In the middle, of the same size; and the time of the write is another, whatever the clock says.
  void overwrite() const {
    std::fstream(input_, std::ios::binary | std::ios::in | std::ios::out).seekp(1000) << "other";
    set_modified({.tv_sec = 1, .tv_nsec = 0});
  }
  void set_modified(timespec time) const {
    const timespec times[] = {{.tv_sec = 0, .tv_nsec = UTIME_OMIT}, time};
    ASSERT_EQ(::utimensat(AT_FDCWD, input_.c_str(), times, 0), 0);
  }
  // Until a change gets another time than the input has.
  void let_the_clock_move_on() const {
    const timespec before = status_of(input_).st_ctim;
    timespec now = before;
    while (now.tv_sec == before.tv_sec && now.tv_nsec == before.tv_nsec) {
      write_text(directory_ / "clock", "");
      now = status_of(directory_ / "clock").st_ctim;
    }
  }
  static struct stat status_of(const std::string& path) {
    struct stat status {};
    TINTYPE_CHECK(::stat(path.c_str(), &status) == 0);
    return status;
  }

  bool has_output() const { return ::access(output_.c_str(), F_OK) == 0; }

  void expect_kept(const Result<FileTranscoded>& done) const {
    ASSERT_OK(done);
    EXPECT_THAT(done->removal, IsStatus(StatusCode::io_error, HasSubstr("is not removed")));
    EXPECT_TRUE(has_output());
  }

  const TempDir directory_{fast_parent()};
  const std::string input_ = directory_ / (is_compressing() ? "in" : "in.zst");
  const std::string output_ = directory_ / (is_compressing() ? "out.zst" : "out");
  std::string content_;
};

INSTANTIATE_TEST_SUITE_P(Ways, TranscodeInputs, testing::Bool(), [](const auto& is_compressing) {
  return is_compressing.param ? "compressing" : "decompressing";
});

TEST_P(TranscodeInputs, one_that_changes_while_it_is_read_gives_no_output) {
  const auto cut_off = [&] { ASSERT_EQ(::truncate(input_.c_str(), 50'000), 0); };
  for (const std::function<void()>& change :
       {std::function<void()>([&] { append(); }), {[&] { overwrite(); }}, {cut_off}}) {
    for (const bool is_removed : {false, true}) {
      write_text(input_, content_);
      EXPECT_THAT(run(kBeforeReading, change, is_removed),
                  IsStatus(StatusCode::io_error, HasSubstr("changed while it was read")));
      EXPECT_FALSE(has_output());
      EXPECT_NE(read_text(input_), content_) << "it stays, as the other process left it";
    }
  }
}

TEST_P(TranscodeInputs, another_mode_or_name_is_no_change_of_what_is_read) {
  const auto done = run(kBeforeReading, [&] {
    ASSERT_EQ(::chmod(input_.c_str(), 0600), 0);
    ASSERT_EQ(::link(input_.c_str(), (directory_ / "other").c_str()), 0);
  });
  EXPECT_OK(done);
  EXPECT_TRUE(has_output());
}

TEST_P(TranscodeInputs, one_that_nobody_touched_is_removed) {
  const auto done = run(
      kAfterReading, [] {}, true);
  ASSERT_OK(done);
  EXPECT_OK(done->removal);
  EXPECT_TRUE(has_output());
  EXPECT_NE(::access(input_.c_str(), F_OK), 0);
}

TEST_P(TranscodeInputs, a_name_that_leads_to_another_file_by_then_is_not_removed) {
  for (const char* moment : {kBeforeReading, kAfterReading}) {
    ::unlink(output_.c_str());
    write_text(input_, content_);
    write_text(directory_ / "new", "the only copy");
    expect_kept(run(
        moment, [&] { ASSERT_EQ(::rename((directory_ / "new").c_str(), input_.c_str()), 0); },
        true));
    EXPECT_EQ(read_text(input_), "the only copy");
  }
}

TEST_P(TranscodeInputs, a_name_that_is_gone_by_then_is_told) {
  expect_kept(run(
      kAfterReading,
      [&] { ASSERT_EQ(::rename(input_.c_str(), (directory_ / "moved").c_str()), 0); }, true));
  EXPECT_EQ(read_text(directory_ / "moved"), content_);
}

TEST_P(TranscodeInputs, one_that_grew_after_it_was_read_is_not_removed) {
  expect_kept(run(
      kAfterReading, [&] { append(); }, true));
  EXPECT_GT(read_text(input_).size(), content_.size());
}

// As rsync and `cp -p` leave a file: what it holds is new, and the time of the last write is not.
TEST_P(TranscodeInputs, one_that_was_rewritten_under_its_old_time_is_not_removed) {
  expect_kept(run(
      kAfterReading,
      [&] {
        let_the_clock_move_on();
        const timespec modified = status_of(input_).st_mtim;
        overwrite();
        set_modified(modified);
      },
      true));
  EXPECT_NE(read_text(input_), content_);
}

TEST_P(TranscodeInputs, a_symlink_is_removed_itself_and_only_where_it_still_leads_there) {
  const std::string real = directory_ / "real";
  const std::string other = directory_ / "other";
  write_text(other, "other");
  ASSERT_EQ(::rename(input_.c_str(), real.c_str()), 0);
  ASSERT_EQ(::symlink("real", input_.c_str()), 0);
  expect_kept(run(
      kAfterReading,
      [&] {
        ASSERT_EQ(::unlink(input_.c_str()), 0);
        ASSERT_EQ(::symlink("other", input_.c_str()), 0);
      },
      true));
  EXPECT_EQ(read_text(input_), "other");

  ASSERT_EQ(::unlink(input_.c_str()), 0);
  ASSERT_EQ(::unlink(output_.c_str()), 0);
  ASSERT_EQ(::symlink("real", input_.c_str()), 0);
  const auto done = run(
      kAfterReading, [] {}, true);
  ASSERT_OK(done);
  EXPECT_OK(done->removal);
  EXPECT_EQ(read_text(real), content_);
  EXPECT_NE(::access(input_.c_str(), F_OK), 0);
}

}  // namespace
}  // namespace tintype
