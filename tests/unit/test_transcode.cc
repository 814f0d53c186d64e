// Compressed files made of plain ones and back: through files and streams, whole, cut and damaged.
#include <sys/stat.h>
#include <zstd.h>

#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

#include "engine/transcode/source_stream.h"
#include "engine/transcode/transcode.h"
#include "engine/transcode/transcode_file.h"
#include "io/archive/compressed_form.h"
#include "io/archive/compressed_layout.h"
#include "io/disk/orphans.h"
#include "tests/support/fault_file_system.h"
#include "tests/support/fault_injector.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/small_archive.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using namespace testing_support;
using testing::HasSubstr;

constexpr uint64_t kExtentBytes = 16 << 10;  // small, so that little data has many

class TextOutput final : public OutputStream {
 public:
  Status write(ByteView data) override {
    if (text.size() + data.size() > limit_bytes) return errno_status(ENOSPC, "write", "output");
    text += as_text(data);
    return Status::ok();
  }
  std::string text;
  size_t limit_bytes = SIZE_MAX;
};

// Numbers that shrink in planes: float32 of a narrow range. Nothing repeats in a whole extent.
std::string floats(size_t size_bytes, unsigned seed = 1) {
  std::mt19937 random(seed);
  std::normal_distribution<float> values(0, .02F);
  std::string bytes(size_bytes, '\0');
  for (size_t at = 0; at + sizeof(float) <= size_bytes; at += sizeof(float)) {
    const float value = values(random);
    std::memcpy(bytes.data() + at, &value, sizeof(value));
  }
  return bytes;
}

ElementMap floats_map(size_t size_bytes) {
  ElementMap map;
  map.add(0, size_bytes / 4 * 4, 4, true);
  return map;
}

CompressOptions options_for(FileForm form) {
  return {.encoder = {.form = form}, .extent_bytes = kExtentBytes};
}

std::string compressed(const std::string& plain, FileForm form, uint32_t threads = 2) {
  const MemorySource source(as_bytes(plain));
  SourceStream stream(source);
  TextOutput text;
  StreamOutput output(text);
  const auto done = compress(stream, floats_map(plain.size()), options_for(form), output,
                             {.thread_count = threads});
  EXPECT_OK(done);
  EXPECT_EQ(done->input_bytes, plain.size());
  EXPECT_EQ(done->output_bytes, text.text.size());
  return text.text;
}

Result<std::string> by_index(const std::string& file, const TranscodeOptions& options = {}) {
  TextOutput text;
  StreamOutput output(text);
  TINTYPE_ASSIGN_OR_RETURN(const Transcoded done,
                           decompress(MemorySource(as_bytes(file)), output, options));
  EXPECT_EQ(done.input_bytes, file.size());
  EXPECT_EQ(done.output_bytes, text.text.size());
  return text.text;
}

Result<std::string> by_stream(const std::string& file, const TranscodeOptions& options = {}) {
  const MemorySource source(as_bytes(file));
  SourceStream stream(source);
  TextOutput text;
  StreamOutput output(text);
  TINTYPE_ASSIGN_OR_RETURN(const Transcoded done, decompress(stream, "pipe", output, options));
  EXPECT_EQ(done.input_bytes, file.size());
  return text.text;
}

// As zstd itself makes one, without a seek table.
std::string zstd_frame(const std::string& plain) {
  std::string frame(ZSTD_compressBound(plain.size()), '\0');
  frame.resize(ZSTD_compress(frame.data(), frame.size(), plain.data(), plain.size(), 3));
  return frame;
}

class Transcode : public testing::TestWithParam<FileForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, Transcode, testing::Values(FileForm::zstd, FileForm::planes),
                         [](const auto& form) { return std::string(to_string(form.param)); });

TEST_P(Transcode, any_size_comes_back_by_any_number_of_threads_and_either_way) {
  for (const size_t size_bytes :
       {size_t{0}, size_t{1}, size_t{4095}, size_t{4096}, size_t{4097}, size_t{kExtentBytes},
        size_t{kExtentBytes} + 1, size_t{9 * kExtentBytes + 77}}) {
    const std::string plain = floats(size_bytes);
    const std::string file = compressed(plain, GetParam(), 1);
    EXPECT_EQ(compressed(plain, GetParam(), 5), file) << "bytes do not depend on threads";
    for (const uint32_t threads : {1u, 2u, 8u}) {
      EXPECT_EQ(by_index(file, {.thread_count = threads}).value(), plain) << size_bytes;
      EXPECT_EQ(by_stream(file, {.thread_count = threads}).value(), plain) << size_bytes;
    }
  }
}

TEST_P(Transcode, little_memory_is_enough) {
  const std::string plain = floats(20 * kExtentBytes);
  const std::string file = compressed(plain, GetParam());
  EXPECT_EQ(by_index(file, {.thread_count = 8, .memory_bytes = 1}).value(), plain);
}

TEST_P(Transcode, the_meter_ends_at_the_sums) {
  const std::string plain = floats(5 * kExtentBytes);
  const std::string file = compressed(plain, GetParam());
  TranscodeMeter meter;
  EXPECT_OK(by_index(file, {.meter = &meter}));
  EXPECT_EQ(meter.output_bytes, plain.size());
  EXPECT_LE(meter.input_bytes, file.size());
  EXPECT_GT(meter.input_bytes, file.size() / 2);
}

TEST_P(Transcode, every_truncation_is_found) {
  const std::string plain = floats(3 * kExtentBytes + 5);
  const std::string file = compressed(plain, GetParam());
  const size_t step = std::getenv("TINTYPE_FULL") != nullptr ? 1 : 509;
  const TranscodeOptions few{.thread_count = 1, .memory_bytes = 1};  // of 90,000 decoders
  size_t unsupported = 0;
  size_t whole = 0;
  for (size_t size_bytes = 0; size_bytes < file.size(); size_bytes += size_bytes < 32 ? 1 : step) {
    const std::string cut = file.substr(0, size_bytes);
    for (const auto& result : {by_index(cut, few), by_stream(cut, few)}) {
      if (result.is_ok()) {
        EXPECT_EQ(GetParam(), FileForm::zstd) << size_bytes;
        EXPECT_TRUE(plain.starts_with(*result)) << size_bytes;
        whole += result->size() < plain.size() ? 1 : 0;
      } else {
        unsupported += result.status().code() == StatusCode::unsupported ? 1 : 0;
        EXPECT_TRUE(result.status().code() == StatusCode::corruption || size_bytes < 8)
            << size_bytes << ": " << result.status().to_string();
      }
    }
  }
  EXPECT_LE(whole, 2u) << "behind the first frame, without its padding, in two ways";
  EXPECT_LE(unsupported, 2u * 8) << "shorter than a magic number, it is no compressed file";
}

TEST(Transcode, a_checkpoint_cut_off_between_frames_is_found) {
  const std::string plain = "PK\x03\x04" + floats(3 * kExtentBytes) + "PK\x05\x06 and the rest";
  const std::string file = compressed(plain, FileForm::zstd);
  EXPECT_EQ(by_stream(file).value(), plain);
  size_t found = 0;
  for (size_t size_bytes = 4096; size_bytes < file.size(); size_bytes += 4096) {
    const std::string cut = file.substr(0, size_bytes);
    for (const auto& result : {by_index(cut), by_stream(cut)}) {
      if (result.is_ok()) {
        EXPECT_EQ(*result, plain) << size_bytes;
      } else {
        found += result.status().message().find("between two frames") != std::string::npos ? 1 : 0;
      }
    }
  }
  EXPECT_EQ(found, 2u * 3);
}

// Nothing is missing of the file: the image was never a whole checkpoint, or has more behind it.
TEST(Transcode, what_begins_as_a_checkpoint_need_not_end_as_one_in_a_whole_file) {
  const std::string part = "PK\x03\x04" + floats(3 * kExtentBytes);
  const std::string ended = part + "PK\x05\x06" + floats(10 * kExtentBytes);
  for (const std::string& plain : {part, ended}) {
    for (const std::string& file : {zstd_frame(plain), compressed(plain, FileForm::zstd)}) {
      for (const auto& result : {by_index(file), by_stream(file)}) {
        ASSERT_OK(result);
        EXPECT_TRUE(*result == plain);
      }
    }
    EXPECT_THAT(by_stream(zstd_frame(plain.substr(0, 1000)) + zstd_frame(plain.substr(1000))),
                IsStatus(StatusCode::corruption, HasSubstr("between two frames")));
  }
}

TEST_P(Transcode, a_flipped_bit_is_found_or_harmless) {
  const std::string plain = floats(2 * kExtentBytes + 5);
  const std::string file = compressed(plain, GetParam());
  std::mt19937 random(3);
  size_t found = 0;
  const int flips = std::getenv("TINTYPE_FULL") != nullptr ? 5'000 : 100;
  for (int i = 0; i < flips; ++i) {
    std::string damaged = file;
    const size_t at = random() % damaged.size();
    damaged[at] = static_cast<char>(damaged[at] ^ (1 << random() % 8));
    for (const auto& result : {by_index(damaged), by_stream(damaged)}) {
      if (result.is_ok()) {
        EXPECT_EQ(*result, plain) << at;
      } else {
        ++found;
      }
    }
  }
  EXPECT_GT(found, static_cast<size_t>(flips));
}

TEST_P(Transcode, an_output_that_is_full_ends_it) {
  const std::string file = compressed(floats(20 * kExtentBytes), GetParam());
  const MemorySource source(as_bytes(file));
  TextOutput text;
  text.limit_bytes = 5 * kExtentBytes;
  StreamOutput output(text);
  EXPECT_THAT(decompress(source, output, {}), IsStatus(StatusCode::out_of_space, HasSubstr("")));
  SourceStream stream(source);
  text.limit_bytes = 3 * kExtentBytes;
  text.text.clear();
  EXPECT_THAT(compress(stream, {}, options_for(GetParam()), output, {}),
              IsStatus(StatusCode::out_of_space, HasSubstr("")));
}

TEST(TranscodePlanes, the_widths_of_elements_make_the_ratio) {
  const std::string plain = floats(64 * kExtentBytes);
  const MemorySource source(as_bytes(plain));
  SourceStream stream(source);
  TextOutput text;
  StreamOutput output(text);
  CompressOptions options = options_for(FileForm::planes);
  options.extent_bytes = 1 << 20;
  ASSERT_OK(compress(stream, {}, options, output, {}));
  const size_t without = text.text.size();
  SourceStream again(source);
  text.text.clear();
  ASSERT_OK(compress(again, floats_map(plain.size()), options, output, {}));
  EXPECT_LT(text.text.size(), without * 95 / 100);
}

TEST(TranscodeZstd, what_zstd_itself_made_is_read) {
  const std::string plain = floats(50 * kExtentBytes);
  const std::string frames = zstd_frame(plain);
  EXPECT_EQ(by_index(frames).value(), plain);
  EXPECT_EQ(by_stream(frames + frames).value(), plain + plain);
  EXPECT_THAT(by_index(frames.substr(0, frames.size() - 3)),
              IsStatus(StatusCode::corruption, HasSubstr("cut off")));
}

// Zeros come first, and make next to nothing of the file.
TEST(TranscodeZstd, an_expansion_is_judged_by_the_whole_file) {
  const std::string plain = std::string(size_t{70} << 20, '\0') + floats(1 << 20);
  const std::string frames = zstd_frame(plain);
  EXPECT_TRUE(by_index(frames).value() == plain);
  EXPECT_TRUE(by_stream(frames).value() == plain);
  EXPECT_THAT(by_stream(frames, {.limits = {.stream_free_bytes = 1 << 20}}),
              IsStatus(StatusCode::unsupported, HasSubstr("2048 times its size")));
  EXPECT_THAT(by_index(zstd_frame(plain.substr(0, 70 << 20))),
              IsStatus(StatusCode::unsupported, HasSubstr("zstd -d")));
}

TEST(TranscodeOther, a_plain_file_is_not_decompressed) {
  EXPECT_THAT(by_index("PK\x03\x04 and so on"), IsStatus(StatusCode::unsupported, HasSubstr("")));
  EXPECT_THAT(by_stream("PK\x03\x04 and so on"), IsStatus(StatusCode::unsupported, HasSubstr("")));
}

// --- files ---

std::string checkpoint() {
  const auto bytes = archive_of({{"data.pkl", pickle_of({{"w", "0", 6000, 0, {6000}, {1}}})},
                                 {"byteorder", "little"},
                                 {"data/0", floats(24000)},
                                 {"version", "3\n"}});
  return std::string(as_text(bytes));
}

Result<FileTranscoded> run(FileSystem& file_system, bool is_compressing, const std::string& input,
                           const std::string& output, bool may_replace = false) {
  const TranscodeInput from{.path = input};
  const TranscodeOutput to{.path = output, .may_replace = may_replace};
  return is_compressing ? compress_file(file_system, from, to, options_for(FileForm::planes), {})
                        : decompress_file(file_system, from, to, {});
}

TEST(TranscodeFile, a_file_comes_back_with_its_mode) {
  TempDir directory;
  write_text(directory / "x.pth", checkpoint());
  ASSERT_EQ(::chmod((directory / "x.pth").c_str(), 0600), 0);
  const auto packed = run(posix_file_system(), true, directory / "x.pth", directory / "x.pth.ttz");
  ASSERT_OK(packed);
  EXPECT_TRUE(packed->notes.empty());
  EXPECT_EQ(packed->total.output_bytes, read_text(directory / "x.pth.ttz").size());
  ASSERT_OK(run(posix_file_system(), false, directory / "x.pth.ttz", directory / "y.pth"));
  EXPECT_EQ(read_text(directory / "y.pth"), checkpoint());
  struct stat status {};
  ASSERT_EQ(::stat((directory / "y.pth").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777u, 0600u);
}

TEST(TranscodeFile, what_is_no_checkpoint_is_compressed_with_a_note) {
  TempDir directory;
  write_text(directory / "x.bin", floats(50'000));
  const auto packed = run(posix_file_system(), true, directory / "x.bin", directory / "x.ttz");
  ASSERT_OK(packed);
  ASSERT_EQ(packed->notes.size(), 1u);
  EXPECT_THAT(packed->notes[0], HasSubstr("as no checkpoint"));
  ASSERT_OK(run(posix_file_system(), false, directory / "x.ttz", directory / "y.bin"));
  EXPECT_EQ(read_text(directory / "y.bin"), floats(50'000));
}

TEST(TranscodeFile, what_stands_is_replaced_only_where_that_is_allowed) {
  TempDir directory;
  write_text(directory / "x.pth", checkpoint());
  write_text(directory / "x.ttz", "other");
  EXPECT_THAT(run(posix_file_system(), true, directory / "x.pth", directory / "x.ttz"),
              IsStatus(StatusCode::already_exists, HasSubstr("x.ttz")));
  EXPECT_EQ(read_text(directory / "x.ttz"), "other");
  EXPECT_OK(run(posix_file_system(), true, directory / "x.pth", directory / "x.ttz", true));
  EXPECT_NE(read_text(directory / "x.ttz"), "other");
}

// Each operation of the disk fails once: then nothing stands under the new name, nor beside it.
void fail_everywhere(bool is_compressing) {
  SimulatedDisk disk;
  ASSERT_OK(disk.create_directories("/d"));
  disk.put_file("/d/in",
                is_compressing ? checkpoint() : compressed(checkpoint(), FileForm::planes));
  const std::string expected = checkpoint();
  size_t failed = 0;
  for (size_t index = 0;; ++index) {
    FaultInjector injector;
    injector.fail_at(index, ENOSPC);
    FaultFileSystem faulty(disk, injector);
    const auto result = run(faulty, is_compressing, "/d/in", "/d/out");
    if (injector.fired() == 0) break;
    const auto operation = injector.failed().front();
    if (result.is_ok()) {
      const std::string written = disk.files().at("/d/out");
      EXPECT_TRUE((is_compressing ? by_index(written).value() : written) == expected)
          << operation.name;
      const auto directory = disk.open_directory("/d").value();
      ASSERT_OK(remove_orphans(*directory, {}));  // of the name before the last
      ASSERT_OK(directory->remove("out"));
    } else {
      ++failed;
      EXPECT_EQ(result.status().code(), StatusCode::out_of_space) << operation.name;
    }
    EXPECT_EQ(disk.files().size(), 1u) << operation.name << " leaves a file behind";
  }
  EXPECT_GE(failed, 10u);
}

TEST(TranscodeFile, a_failure_anywhere_while_compressing_leaves_nothing) { fail_everywhere(true); }
TEST(TranscodeFile, a_failure_anywhere_while_decompressing_leaves_nothing) {
  fail_everywhere(false);
}

TEST(TranscodeFile, an_interrupt_leaves_nothing) {
  SimulatedDisk disk;
  ASSERT_OK(disk.create_directories("/d"));
  disk.put_file("/d/in", checkpoint());
  TranscodeOptions options;
  options.is_interrupted = [] { return true; };
  const auto result = compress_file(disk, {.path = "/d/in"}, {.path = "/d/out"},
                                    options_for(FileForm::zstd), options);
  EXPECT_TRUE(result.status().code() == StatusCode::interrupted ||
              result.status().code() == StatusCode::cancelled);
  EXPECT_EQ(disk.files().size(), 1u);
}

TEST(TranscodeFile, damage_leaves_nothing) {
  SimulatedDisk disk;
  ASSERT_OK(disk.create_directories("/d"));
  std::string file = compressed(floats(20 * kExtentBytes), FileForm::planes);
  file[file.size() / 2] = static_cast<char>(file[file.size() / 2] ^ 4);
  disk.put_file("/d/in", file);
  EXPECT_THAT(run(disk, false, "/d/in", "/d/out"),
              IsStatus(StatusCode::corruption, HasSubstr("'/d/in'")));
  EXPECT_EQ(disk.files().size(), 1u);
}

}  // namespace
}  // namespace tintype
