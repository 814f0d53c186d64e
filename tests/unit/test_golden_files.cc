// Files of the compressed forms that were written once and are read by every later version.
//
// plain.pth.zst and plain.pth.ttz hold plain.pth, the worked example of io/archive/FORMAT.md; the
// two others the image that is made here, in extents of 64 KiB, with planes of every kind.
// TINTYPE_WRITE_GOLDEN=DIRECTORY writes new ones there, for a new version of a form.
#include <cstdlib>
#include <set>
#include <string>
#include <vector>

#include "engine/element_runs.h"
#include "engine/restore/archive.h"
#include "engine/restore/verify.h"
#include "io/archive/compressed_form.h"
#include "tests/support/compressed_file.h"
#include "tests/support/small_archive.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace tintype {
namespace {

using namespace testing_support;

constexpr uint64_t kExtentBytes = 64u << 10;
const std::string kGolden = TINTYPE_GOLDEN_DIRECTORY;

// Floats whose exponents are unevenly frequent, by whole numbers alone: the same everywhere.
std::string uneven_floats(size_t count) {
  std::string bytes;
  uint64_t state = 7;
  for (size_t i = 0; i < count; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto random = static_cast<uint32_t>(state >> 32);
    const auto exponent = 120 - static_cast<uint32_t>(__builtin_ctz(random | 0x8000u));
    const uint32_t bits = (random & 0x807FFFFFu) | (exponent << 23);
    bytes.append(reinterpret_cast<const char*>(&bits), sizeof(bits));
  }
  return bytes;
}

ByteVector several_plain() {
  const auto tensor = [](const char* key, const char* storage, int64_t count) {
    return SmallTensor{key, storage, count, 0, {count}, {1}};
  };
  // A number at every 16th place: repeats, for which matches are looked for.
  std::string sparse(40'000, '\0');
  for (size_t i = 0; i < sparse.size(); i += 64) sparse.replace(i, 4, "\x01\x02\x03\x04");
  return archive_of(
      {{"data.pkl", pickle_of({tensor("weights", "0", 20'000), tensor("zeros", "1", 20'000),
                               tensor("sparse", "2", 10'000)})},
       {"byteorder", "little"},
       {"data/0", uneven_floats(20'000)},
       {"data/1", std::string(80'000, '\0')},
       {"data/2", sparse},
       {"version", "3\n"}});
}

ByteVector bytes_of(const std::string& path) {
  ByteVector bytes;
  append_text(bytes, read_text(path));
  return bytes;
}

struct GoldenFile {
  const char* name;
  FileForm form;
  ByteVector plain;
};

std::vector<GoldenFile> golden_files() {
  const ByteVector plain = bytes_of(kGolden + "/plain.pth");
  return {{"plain.pth.zst", FileForm::zstd, plain},
          {"plain.pth.ttz", FileForm::planes, plain},
          {"several.pth.zst", FileForm::zstd, several_plain()},
          {"several.pth.ttz", FileForm::planes, several_plain()}};
}

ByteVector encoded(const GoldenFile& file) {
  const auto archive = Archive::open({std::make_unique<MemorySource>(file.plain)}).value();
  return compressed_file(file.form, file.plain, element_map(*archive), kExtentBytes);
}

TEST(GoldenFiles, are_written_where_the_environment_asks_for_them) {
  const char* directory = std::getenv("TINTYPE_WRITE_GOLDEN");  // NOLINT(concurrency-mt-unsafe)
  if (directory == nullptr) GTEST_SKIP() << "TINTYPE_WRITE_GOLDEN is not set";
  for (const GoldenFile& file : golden_files()) {
    write_text(std::string(directory) + "/" + file.name, std::string(as_text(encoded(file))));
  }
}

TEST(GoldenFiles, decode_to_what_they_were_made_of) {
  for (const GoldenFile& file : golden_files()) {
    const auto plain = decompressed_file(file.form, bytes_of(kGolden + "/" + file.name));
    ASSERT_OK(plain) << file.name;
    EXPECT_EQ(*plain, file.plain) << file.name;
  }
}

TEST(GoldenFiles, are_sound_checkpoints) {
  for (const GoldenFile& file : golden_files()) {
    const auto report = verify(posix_file_system(), kGolden + "/" + file.name);
    ASSERT_OK(report);
    EXPECT_TRUE(report->is_ok()) << report->status().to_string();
    EXPECT_EQ(report->form, file.form);
  }
}

// By the run tables, as FORMAT.md has them.
TEST(GoldenFiles, several_has_planes_of_every_kind) {
  const ByteVector file = bytes_of(kGolden + "/several.pth.ttz");
  std::set<uint32_t> kinds;
  std::set<uint32_t> rotations;
  const FrameIndex index = read_frame_index(MemorySource(file), FileForm::planes).value();
  for (const IndexedExtent& extent : index.extents) {
    size_t entry = extent.file_offset + kExtentHeaderBytes;
    const auto run_count = load_little_endian<uint32_t>(file, extent.file_offset + 24);
    for (uint32_t run = 0; run < run_count; ++run) {
      const auto width = std::to_integer<uint32_t>(file[entry + 8]);
      const auto packed = load_little_endian<uint16_t>(file, entry + 10);
      rotations.insert(std::to_integer<uint32_t>(file[entry + 9]));
      for (uint32_t b = 0; b < width; ++b) kinds.insert((packed >> (2 * b)) & 3u);
      entry += kRunEntryBytes + width * kPlaneEntryBytes;
    }
  }
  EXPECT_EQ(kinds, (std::set<uint32_t>{0, 1, 2, 3}));
  EXPECT_EQ(rotations, (std::set<uint32_t>{0, 1}));
}

}  // namespace
}  // namespace tintype
