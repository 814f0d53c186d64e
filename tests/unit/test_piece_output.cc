// Pieces of any sizes, written as one file by several threads.
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "engine/transcode/piece_output.h"
#include "engine/transcode/transcode_file.h"
#include "tests/support/codec_data.h"
#include "tests/support/compressed_file.h"
#include "tests/support/simulated_disk.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

std::string random_text(size_t size_bytes) {
  return std::string(as_text(content_bytes(Content::random, size_bytes, 1)));
}

AlignedBuffer piece_of(std::string_view text) {
  AlignedBuffer buffer = AlignedBuffer::make(text.size()).value();
  std::memcpy(buffer.first(text.size()).data(), text.data(), text.size());
  return buffer;
}

// Writes pieces of these sizes, the last one first.
void store_backwards(File& file, std::string_view plain, const std::vector<size_t>& sizes) {
  FileOutput output(file, plain.size());
  std::vector<AlignedBuffer> pieces;
  std::vector<size_t> offsets;
  size_t end = 0;
  for (const size_t size : sizes) {
    pieces.push_back(piece_of(plain.substr(end, size)));
    offsets.push_back(end);
    ASSERT_OK(output.append(pieces.back(), size, end));
    end += size;
  }
  ASSERT_EQ(end, plain.size());
  for (size_t i = sizes.size(); i-- > 0;) {
    ASSERT_OK(output.store(pieces[i], sizes[i], offsets[i]));
  }
  ASSERT_OK(output.finish());
}

// tmpfs takes any write for a direct one; the simulated disk refuses those that are not aligned.
TEST(FileOutput, no_piece_overwrites_its_neighbours_whatever_the_sizes) {
  const std::string plain = random_text(40'000);
  for (const std::vector<size_t>& sizes :
       std::vector<std::vector<size_t>>{{40'000},
                                        {8192, 16384, 15424},
                                        {8192, 8193, 4096, 19519},
                                        {1, 4095, 1, 35'903},
                                        {10'001, 10'001, 10'001, 9'997},
                                        {4096, 10, 20, 4066, 31'808}}) {
    SimulatedDisk disk({.has_direct_io = true});
    ASSERT_OK(disk.create_directories("/d"));
    const auto simulated = disk.open_directory("/d").value()->create("x", 0644).value();
    store_backwards(*simulated, plain, sizes);
    EXPECT_TRUE(disk.files().at("/d/x").starts_with(plain)) << testing::PrintToString(sizes);
    const TempDir directory(fast_parent());
    const auto parent = posix_file_system().open_directory(directory.path()).value();
    store_backwards(*parent->create("x", 0644).value(), plain, sizes);
    EXPECT_TRUE(read_text(directory / "x").starts_with(plain)) << testing::PrintToString(sizes);
  }
}

class OddExtents : public testing::TestWithParam<FileForm> {};
INSTANTIATE_TEST_SUITE_P(Forms, OddExtents, testing::Values(FileForm::zstd, FileForm::planes),
                         [](const auto& form) { return std::string(to_string(form.param)); });

TEST_P(OddExtents, as_other_programs_write_them_come_back_as_a_file) {
  const std::string plain = random_text(1'500'000);
  const auto file = compressed_file(GetParam(), as_bytes(plain), {}, 10'001);
  const TempDir directory(fast_parent());
  write_text(directory / "in", std::string(as_text(file)));
  SimulatedDisk disk({.has_direct_io = true});
  ASSERT_OK(disk.create_directories("/d"));
  disk.put_file("/d/in", std::string(as_text(file)));
  for (int i = 0; i < 3; ++i) {
    const std::string output = directory / std::to_string(i);
    ASSERT_OK(decompress_file(posix_file_system(), {.path = directory / "in"}, {.path = output},
                              {.thread_count = 8}));
    EXPECT_TRUE(read_text(output) == plain);
    const std::string simulated = "/d/" + std::to_string(i);
    ASSERT_OK(decompress_file(disk, {.path = "/d/in"}, {.path = simulated}, {.thread_count = 8}));
    EXPECT_TRUE(disk.files().at(simulated) == plain);
  }
}

}  // namespace
}  // namespace tintype
